"""Curation: scores of clips, a funnel of filters, near duplicates, resampling, captions, finetuning sets."""
