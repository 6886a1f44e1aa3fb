"use strict";
// Building pages: text is only ever set as text, so no prompt or axis can become markup.
window.Study = { texts: {}, language: "en" };
(() => {
  const Study = window.Study;
  const SAVED_MS = 3000;
  const AUDIO_MS = 4000;

  // A text of the page in the rater's language, with {names} filled in.
  Study.text = (key, values = {}) => {
    const texts = Study.texts[Study.language] || {};
    return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), texts[key] || key);
  };

  // element("button", { class: "primary", onclick }, "text", child, ...)
  Study.element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "checked" || name === "disabled" || name === "value" || name === "tabIndex") node[name] = value;
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
  };

  Study.paragraphs = (text) =>
    text.split(/\n{2,}/).map((part) => {
      const lines = part.split("\n");
      if (lines.every((line) => /^\s*- /.test(line))) {
        return Study.element("ul", {}, lines.map((line) => Study.element("li", {}, line.replace(/^\s*- /, ""))));
      }
      return Study.element("p", {}, part);
    });

  // Replace the page and move the focus there, so that a screen reader and the keyboard begin at its top.
  Study.show = (name, ...children) => {
    const page = document.getElementById("page");
    page.className = name;
    page.dataset.page = name;
    page.replaceChildren(...children.flat(Infinity).filter(Boolean));
    window.scrollTo(0, 0);
    page.focus({ preventScroll: true });
  };

  Study.status = (kind, text = "") => {
    const node = document.getElementById("status");
    node.className = kind;
    node.textContent = text;
    clearTimeout(Study.fading);
    if (kind === "saved") Study.fading = setTimeout(() => Study.status(""), SAVED_MS);
  };

  // Take a status of one kind away, when its reason is gone.
  Study.clearStatus = (kind) => {
    if (document.getElementById("status").className === kind) Study.status("");
  };

  // Let an audio context run. Resolves with whether it does: without a device, or before the browser allows audio,
  // resume() may never come to an end.
  Study.startAudio = async (context) => {
    if (context.state !== "running") {
      const timeout = new Promise((resolve) => setTimeout(resolve, AUDIO_MS));
      await Promise.race([context.resume().catch(() => null), timeout]);
    }
    return context.state === "running";
  };

  Study.randomKey = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
})();
