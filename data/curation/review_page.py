"""Page for the manual pass: people accept, trim, caption and label clips, and save decisions.json.

The page works from the disk, without a server: decisions stay in the browser until they are saved as a file,
which `finetuning.decisions` reads (Movie Gen, sec. 3.3).
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from data.curation.report import STYLE, media_link, page_start

FLAWS = (
    "flat light",
    "over-saturated",
    "clutter",
    "little motion",
    "shake",
    "edited effect",
    "overlaid text",
    "small subject",
)
FRAMINGS = ("wide angle", "close-up", "aerial", "low angle", "over the shoulder", "first person view")
PLACEHOLDER = "Caption: subject, expression, background, motion, light, camera"
_STYLE = (
    STYLE
    + """
.clip{background:#fff;padding:.8rem;margin:1rem 0;display:grid;gap:1rem;
grid-template-columns:minmax(16rem,34rem) 1fr;border-left:5px solid #c9c6bc}
.clip.accept{border-color:#1d7a46}.clip.reject{border-color:#b3372c}
video{max-width:100%;background:#000}textarea{width:100%;min-height:4.5rem;font:inherit}label{margin-right:.7rem;
display:inline-block}button{font:inherit;padding:.2rem .9rem}.bar{position:sticky;top:0;background:#f3f2ee;
padding:.6rem 0;border-bottom:1px solid #dedcd5;z-index:1}input[type=number]{width:6rem}
"""
)
_SCRIPT = """
const store = 'review:' + document.body.dataset.pool;
const state = JSON.parse(localStorage.getItem(store) || '{}');
const clips = [...document.querySelectorAll('.clip')];
function read(el) {
  const q = n => el.querySelector('[name=' + n + ']');
  return {id: el.dataset.id, verdict: el.dataset.verdict || null,
    start: +q('start').value, end: +q('end').value,
    caption: q('caption').value, framing: q('framing').value || null,
    flaws: [...el.querySelectorAll('[name=flaw]:checked')].map(x => x.value)};
}
function show(el, d) {
  el.dataset.verdict = d.verdict || ''; el.className = 'clip ' + (d.verdict || '');
  el.querySelector('[name=start]').value = d.start; el.querySelector('[name=end]').value = d.end;
  el.querySelector('[name=caption]').value = d.caption;
  el.querySelector('[name=framing]').value = d.framing || '';
  el.querySelectorAll('[name=flaw]').forEach(x => { x.checked = d.flaws.includes(x.value); });
}
function keep(el) {
  state[el.dataset.id] = read(el); localStorage.setItem(store, JSON.stringify(state)); count();
}
function count() {
  const done = clips.filter(c => c.dataset.verdict), good = done.filter(c => c.dataset.verdict === 'accept');
  document.getElementById('count').textContent =
    done.length + ' of ' + clips.length + ' reviewed, ' + good.length + ' accepted';
}
clips.forEach(el => {
  if (state[el.dataset.id]) show(el, state[el.dataset.id]);
  const video = el.querySelector('video'), q = n => el.querySelector('[name=' + n + ']');
  el.querySelectorAll('[data-set]').forEach(b => b.onclick = () => {
    el.dataset.verdict = b.dataset.set; el.className = 'clip ' + b.dataset.set; keep(el); });
  el.querySelectorAll('[data-trim]').forEach(b => b.onclick = () => {
    q(b.dataset.trim).value = video.currentTime.toFixed(3); keep(el); });
  el.addEventListener('change', () => keep(el));
  video.addEventListener('timeupdate', () => { if (video.currentTime >= +q('end').value) {
    video.currentTime = +q('start').value; } });
});
document.getElementById('save').onclick = () => {
  const decisions = clips.map(read).filter(d => d.verdict);
  const text = JSON.stringify({decisions}, null, 1);
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  a.download = 'decisions.json'; a.click();
};
count();
"""


def write_page(path: Path, rows: list[dict[str, Any]], root: Path) -> None:
    """Write the page for these clips; videos are linked, not embedded."""
    body = page_start("Manual pass", _STYLE).replace("<h1>", f'<body data-pool="{escape(str(root))}"><h1>', 1)
    parts = [body, "<div class=bar><button id=save>Save decisions.json</button> <span id=count></span></div>"]
    parts += [_clip_html(row, root, path.parent) for row in rows]
    parts.append(f"<script>{_SCRIPT}</script>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _clip_html(row: dict[str, Any], root: Path, folder: Path) -> str:
    caption = " ".join(row["captions"])
    flaws = " ".join(f'<label><input type=checkbox name=flaw value="{f}"> {f}</label>' for f in FLAWS)
    framings = "".join(f"<option>{name}</option>" for name in ("", *FRAMINGS))
    concept = f" · {escape(row['concept'])}" if row.get("concept") else ""
    return f"""<div class=clip data-id={json.dumps(escape(row["id"]))}>
<div><video controls muted loop preload=metadata src="{escape(media_link(row, root, folder))}"></video></div>
<div><b>{escape(row["id"])}</b>{concept}<p><button data-set=accept>Accept</button>
<button data-set=reject>Reject</button></p>
<p>from <input type=number name=start step=0.001 value={row["start_s"]:.3f}>
<button data-trim=start>now</button>
to <input type=number name=end step=0.001 value={row["end_s"]:.3f}> <button data-trim=end>now</button> s</p>
<p><textarea name=caption aria-label=caption placeholder="{PLACEHOLDER}">{escape(caption)}</textarea></p>
<p>framing <select name=framing>{framings}</select></p><p><small>why not:</small> {flaws}</p></div></div>"""
