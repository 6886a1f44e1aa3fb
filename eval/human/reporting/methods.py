"""A methods paragraph with the study's numbers filled in, and the references that it cites."""

from eval.human.reporting.results import Results
from eval.human.study import Study
from src.core.latex import escape_latex

POLICIES = {
    "tie": "count as ties",
    "drop": "are left out",
    "mean": "count with the mean of their votes",
}

BIBLIOGRAPHY = r"""@article{moviegen2024,
  title = {Movie Gen: A Cast of Media Foundation Models},
  author = {{The Movie Gen team}},
  journal = {arXiv preprint arXiv:2410.13720},
  year = {2024}
}
@article{bradley1952rank,
  title = {Rank Analysis of Incomplete Block Designs: {I}. The Method of Paired Comparisons},
  author = {Bradley, Ralph Allan and Terry, Milton E.},
  journal = {Biometrika}, volume = {39}, number = {3/4}, pages = {324--345}, year = {1952}
}
@article{davidson1970extending,
  title = {On Extending the {Bradley-Terry} Model to Accommodate Ties in Paired Comparison Experiments},
  author = {Davidson, Roger R.},
  journal = {Journal of the American Statistical Association}, volume = {65}, number = {329},
  pages = {317--328}, year = {1970}
}
@article{fleiss1971measuring,
  title = {Measuring Nominal Scale Agreement among Many Raters},
  author = {Fleiss, Joseph L.},
  journal = {Psychological Bulletin}, volume = {76}, number = {5}, pages = {378--382}, year = {1971}
}
@article{gwet2008computing,
  title = {Computing Inter-rater Reliability and Its Variance in the Presence of High Agreement},
  author = {Gwet, Kilem Li},
  journal = {British Journal of Mathematical and Statistical Psychology}, volume = {61}, number = {1},
  pages = {29--48}, year = {2008}
}
@book{krippendorff2018content,
  title = {Content Analysis: An Introduction to Its Methodology},
  author = {Krippendorff, Klaus}, publisher = {SAGE}, edition = {4}, year = {2018}
}
@article{holm1979simple,
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  author = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics}, volume = {6}, number = {2}, pages = {65--70}, year = {1979}
}
@article{dawid1979maximum,
  title = {Maximum Likelihood Estimation of Observer Error-Rates Using the {EM} Algorithm},
  author = {Dawid, A. P. and Skene, A. M.},
  journal = {Journal of the Royal Statistical Society C}, volume = {28}, number = {1}, pages = {20--28},
  year = {1979}
}
"""


def methods_paragraph(study: Study, results: Results) -> str:
    """Return a paragraph in LaTeX for a paper's section on human evaluation."""
    config, exclusion = study.config, results.exclusion
    assert exclusion is not None
    pairs = [item for item in study.items.values() if item.kind == "pair"]
    num_prompts = len({item.sample for item in pairs})
    raters_of = {axis.id: config.raters.get(axis.id, axis.num_raters) for axis in study.axes.values()}
    kept = exclusion.num_votes - sum(exclusion.dropped.values())
    times = sorted(row.median_time_s for row in results.raters if row.median_time_s)
    sentences = [
        f"We compared {_list([escape_latex(name) for name in study.plan.systems])} in a blinded side-by-side "
        f"study on {num_prompts} prompts and {_count(len(study.axes), 'axis', 'axes')}: "
        f"{_list([escape_latex(axis.name.get('en', axis.id)) for axis in study.axes.values()])}, "
        "following Movie Gen~\\cite{moviegen2024}.",
        f"Every item was shown to {_numbers(raters_of)} raters on one axis at a time.",
        _media_sentence(study),
        "Left and right were balanced for every rater, item, pair of systems and axis, and the order of "
        f"items was shuffled with no prompt twice in a row{_unless_few(study)}.",
        f"After written instructions with examples, raters passed a qualification of each axis; "
        f"{_percent(config.gold_fraction)} gold items with a known answer, "
        f"{_percent(config.identical_fraction)} pairs of identical clips and "
        f"{_percent(config.repeat_fraction)} repeats with sides swapped were mixed in.",
        f"{_count(len(exclusion.raters), 'rater')} gave {exclusion.num_votes} votes on compared items"
        + (f" (median time {times[len(times) // 2]:.1f}\\,s)" if times else "")
        + f"; by rules fixed in advance, {_count(len(exclusion.excluded_raters), 'rater')} and "
        f"{exclusion.num_votes - kept} votes were excluded, which leaves {kept}.",
    ]
    if results.net_wins:
        sentences += [
            "A prompt's outcome is the answer with strictly the most votes; prompts without one "
            f"({sum(row.no_majority for row in results.net_wins if row.slice == 'all')} in all) "
            f"{POLICIES[config.no_majority]}.",
            "The net win rate is the percentage of prompts won minus those lost. Its 95\\,\\% intervals "
            "treat prompts as independent units, not votes; $p$-values are of permutation tests over "
            "prompts, corrected over all comparisons by Holm's method~\\cite{holm1979simple}.",
        ]
    if any(results.reliability.values()):
        sentences.append(
            "Agreement between raters was "
            + "; ".join(
                f"{escape_latex(study.axes[axis].name.get('en', axis))}: "
                f"$\\kappa={found['fleiss_kappa'].value:.2f}$"
                for axis, found in results.reliability.items()
                if found
            )
            + " (Fleiss~\\cite{fleiss1971measuring}; Krippendorff's "
            "$\\alpha$~\\cite{krippendorff2018content} and Gwet's AC1~\\cite{gwet2008computing} in "
            "the supplement)."
        )
    if len(results.systems) > 2 and results.ratings:
        sentences.append(
            "Strengths of systems are those of a Bradley--Terry model~\\cite{bradley1952rank} with ties "
            "after Davidson~\\cite{davidson1970extending}."
        )
    sentences.append(f"The plan of the study has the hash \\texttt{{{study.plan.hash[:16]}}}.")
    return "\n".join(sentences) + "\n"


def _unless_few(study: Study) -> str:
    few = any("a prompt follows itself" in note for note in study.plan.notes)
    return " wherever a session had enough prompts" if few else ""


def _media_sentence(study: Study) -> str:
    media = study.config.media
    length = "cut to the shortest" if media.length == "trim" else "of equal length"
    text = (
        f"The clips of a prompt were {length}, brought to the {media.size} width and height and the "
        f"{media.fps} frame rate among the systems, and encoded again alike (H.264, CRF {media.crf})"
    )
    if media.match_loudness and any(axis.audible for axis in study.axes.values()):
        text += f", with audio at one loudness (at most {media.loudness_lufs:g}\\,LUFS, ITU-R BS.1770)"
    return text + "."


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _numbers(raters_of: dict[str, int]) -> str:
    usual = max(set(raters_of.values()), key=list(raters_of.values()).count)
    others = {axis: num for axis, num in raters_of.items() if num != usual}
    extra = ", ".join(f"{num} for {escape_latex(axis)}" for axis, num in others.items())
    return f"{usual} ({extra})" if extra else str(usual)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g}\\,\\%"
