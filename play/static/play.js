// The page: reads the form, asks the server for a video, shows it with the checker's verdict.

const find = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fill(id, values, chosen, label = (value) => value) {
  find(id).replaceChildren(
    ...values.map((value) => make("option", { value, textContent: label(value), selected: value === chosen })),
  );
}

function show(text, isError = false) {
  find("status").textContent = text;
  find("status").className = isError ? "error" : "";
}

async function ask(path, options) {
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

const options = await ask("/options");
const { words, defaults } = options;
let firstFrame = "";

find("model").textContent = `${options.run} on ${options.device}`;
fill("color", words.colors, "red");
fill("shape", words.shapes, "star");
fill("motion", Object.keys(words.motions), "right");
fill("floor", Object.keys(words.floors), "any floor");
fill("num_frames", options.lengths, defaults.num_frames, (n) => (n === 1 ? "1 (an image)" : n));
const untrained = (size) => (options.trained_sizes.includes(size) ? size : `${size} (untrained)`);
fill("size", options.sizes, defaults.size, untrained);
fill("fps", options.rates, defaults.fps);
find("num_steps").value = defaults.num_steps;
find("guidance_scale").value = defaults.guidance_scale;

// The same text as build_prompt of play/prompts.py.
function builtPrompt() {
  const color = find("color").value;
  const motion = find("motion").value;
  const article = "aeiou".includes(color[0]) ? "an" : "a";
  const bounce = find("bounces").checked && motion !== "still" ? " and bounces off the wall" : "";
  const clause = `${article} ${color} ${find("shape").value} ${words.motions[motion]}${bounce}`;
  const floor = words.floors[find("floor").value];
  const text = floor ? `${floor}, ${clause}` : clause;
  return `Static shot. ${text[0].toUpperCase()}${text.slice(1)}.`;
}

function showGuidance() {
  find("guidance_value").textContent = find("guidance_scale").value;
}

function verdictTable(verdict) {
  if (verdict.note) return make("p", { className: "soft", textContent: verdict.note });
  const row = (check) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", textContent: check.aspect }),
      make("td", { textContent: check.stated }),
      make("td", { textContent: check.read }),
      make("td", { className: check.is_right ? "right" : "wrong", textContent: check.is_right ? "agrees" : "differs" }),
    );
  const heads = ["", "prompt", "video", ""].map((textContent) => make("th", { textContent, scope: "col" }));
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, ...verdict.checks.map(row)),
  );
}

function trajectory(result) {
  if (!result.trajectory.length) return "";
  const frame = (each) =>
    make(
      "figure",
      {},
      make("img", { src: `/files/${each.path}`, alt: `expected at step ${each.step}` }),
      make("figcaption", {}, `step ${each.step + 1}`, make("br"), `t ${each.t.toFixed(2)}`),
    );
  const title = make("p", { className: "soft", textContent: "What the model expected at these steps, from noise (t = 0) to data (t = 1)" });
  return make("div", { className: "steps" }, title, make("div", { className: "strip", tabIndex: 0 }, ...result.trajectory.map(frame)));
}

function resultCard(result) {
  const src = `/files/${result.path}`;
  const media =
    result.kind === "image"
      ? make("img", { src, alt: result.prompt })
      : make("video", { src, controls: true, loop: true, autoplay: true, muted: !result.has_audio, playsInline: true });
  media.setAttribute("aria-label", result.prompt);
  const facts = `seed ${result.seed}, ${result.seconds} s${result.has_audio ? "" : ", no audio: these weights make none"}`;
  const warnings = result.warnings.map((textContent) => make("p", { className: "warning", textContent }));
  const text = make(
    "div",
    {},
    make("h2", { textContent: result.prompt }),
    verdictTable(result.verdict),
    make("p", { className: "soft", textContent: `${facts}; read by ${result.verdict.checker}` }),
    ...warnings,
  );
  return make("article", { className: "card result" }, make("div", {}, media), text, trajectory(result));
}

async function generate(event) {
  event.preventDefault();
  const button = find("generate");
  const [width, height] = find("size").value.split("x");
  const names = ["prompt", "num_frames", "fps", "seed", "num_steps", "guidance_scale"];
  const request = Object.fromEntries(names.map((name) => [name, find(name).value]));
  const started = Date.now();
  const tick = setInterval(() => show(`generating, ${Math.round((Date.now() - started) / 1000)} s`), 500);
  button.disabled = true;
  show("generating");
  try {
    const body = JSON.stringify({ ...request, width, height, image: firstFrame });
    const result = await ask("/generate", { method: "POST", headers: { "content-type": "application/json" }, body });
    find("results").prepend(resultCard(result));
    if (find("next").checked) find("seed").value = Number(find("seed").value) + 1;
    show("done");
  } catch (error) {
    show(error.message, true);
  } finally {
    clearInterval(tick);
    button.disabled = false;
  }
}

async function upload() {
  const [file] = find("file").files;
  if (!file) return;
  show("reading the image");
  try {
    const result = await ask("/upload", { method: "POST", body: file });
    firstFrame = result.is_first_frame ? result.image : "";
    const imageOf = (path, text) =>
      make("figure", {}, make("img", { src: `/files/${path}`, alt: text }), make("figcaption", { textContent: text }));
    const note = result.is_first_frame
      ? "the next videos begin with it"
      : "these weights take no first frame: this is what the autoencoder keeps of it";
    find("upload").replaceChildren(
      imageOf(result.image, "image"),
      imageOf(result.reconstruction, `autoencoder, ${result.psnr} dB`),
      make("p", { className: "soft", textContent: note }),
    );
    show("");
  } catch (error) {
    show(error.message, true);
  }
}

async function draw() {
  const seed = Math.floor(Math.random() * 1e6);
  try {
    find("prompt").value = (await ask(`/prompt?seed=${seed}`)).prompt;
  } catch (error) {
    show(error.message, true);
  }
}

find("form").addEventListener("submit", generate);
find("file").addEventListener("change", upload);
find("draw").addEventListener("click", draw);
find("guidance_scale").addEventListener("input", showGuidance);
find("builder").addEventListener("input", () => {
  find("prompt").value = builtPrompt();
});
showGuidance();
document.body.dataset.ready = "true";
