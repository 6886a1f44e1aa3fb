import pytest

from src.core.audio_caption import AudioCaption


def test_four_sentences():
    text = AudioCaption(description='A "dog" barks.', quality=7.25, music_likelihood=0.9).text()
    assert text == (
        "This audio has quality: 7.2. This audio does not contain speech. This audio does not contain vocal "
        "singing. This audio contains music with a 0.90 likelihood. This audio has a description: \"A 'dog' "
        'barks". This audio has a music description (if applicable): "none".'
    )


def test_parse_inverts_text():
    caption = AudioCaption(
        description="surf; a bell",
        quality=3.0,
        has_speech=True,
        has_singing=True,
        music_likelihood=0.5,
        music_description="A calm piano",
    )
    assert AudioCaption.parse(caption.text()) == caption
    assert AudioCaption.parse("A dog barks.") is None
    assert AudioCaption.parse(caption.text().replace("3.0", "33.0")) is None


def test_scores_out_of_range():
    for values in ({"quality": 11.0}, {"music_likelihood": 1.5}):
        with pytest.raises(ValueError, match=next(iter(values))):
            AudioCaption(description="", **values)
