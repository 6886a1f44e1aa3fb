"use strict";
// What a task shows: its clips, which of them is heard, what they are compared with, and the buttons that play them.
(() => {
  const Study = window.Study;
  const { element, text } = Study;

  Study.markAudible = (figures, player) =>
    figures.forEach((figure, index) => {
      const on = player.audible && player.leader === index;
      figure.classList.toggle("audible", on);
      const button = figure.querySelector(".hear");
      if (button) button.setAttribute("aria-pressed", String(on));
    });

  Study.clipElement = (stimulus, url, index, count) => {
    const label = Study.sideName(index, count) || text("play");
    if (stimulus.type === "image") return element("img", { src: url, alt: label });
    const tag = stimulus.type === "audio" ? "audio" : "video";
    const node = element(tag, { src: url, preload: "auto", playsinline: true, "aria-label": label, width: stimulus.width, height: stimulus.height });
    node.disableRemotePlayback = true;
    return node;
  };

  // Resolves when a clip can be played, rejects when the browser cannot.
  Study.clipReady = (node) =>
    new Promise((resolve, reject) => {
      if (node.readyState >= 3) resolve();
      node.addEventListener("canplay", resolve, { once: true });
      node.addEventListener("error", () => reject(node.error || new Error("media")), { once: true });
    });

  Study.comparison = (task, current) => {
    const parts = [];
    for (const name of ["prompt", "audio_prompt"]) {
      if (task.shown[name]) parts.push(element("p", { class: "prompt" }, element("strong", {}, `${text(name)}: `), task.shown[name]));
    }
    if (current.shown.source) {
      const video = element("video", { src: current.shown.source, controls: true, loop: true, playsinline: true, "aria-label": text("source") });
      video.muted = true;
      parts.push(element("figure", { class: "source" }, element("figcaption", {}, text("source")), video));
    }
    if (current.shown.reference) {
      parts.push(element("figure", { class: "source" }, element("figcaption", {}, text("reference")), element("img", { src: current.shown.reference, alt: text("reference") })));
    }
    return parts;
  };

  // Buttons and the time line of a player.
  Study.controls = (player) => {
    const play = element("button", { type: "button", class: "primary", id: "play", onclick: () => player.toggle() }, text("play"));
    const loop = element("button", { type: "button", id: "loop", "aria-pressed": "false", onclick: () => Study.toggleLoop(player, loop) }, text("loop"));
    const slider = element("input", { type: "range", id: "time", min: 0, max: 1000, step: 1, value: 0, "aria-label": text("position") });
    slider.addEventListener("input", () => player.seek((slider.value / 1000) * player.duration));
    const clock = element("span", { class: "clock" });
    const draw = () => {
      if (!document.contains(play)) return;
      if (document.activeElement !== slider || player.playing) slider.value = (1000 * player.time) / player.duration || 0;
      clock.textContent = `${player.time.toFixed(1)} / ${player.duration.toFixed(1)} s`;
      setTimeout(draw, 100);
    };
    player.addEventListener("change", () => (play.textContent = text(player.playing ? "pause" : "play")));
    setTimeout(draw, 0);
    return element(
      "div",
      { class: "controls row" },
      play,
      element("button", { type: "button", id: "restart", onclick: () => player.seek(0) }, text("restart")),
      loop,
      slider,
      clock,
    );
  };

  Study.toggleLoop = (player, button = document.getElementById("loop")) => {
    player.loop = !player.loop;
    button.setAttribute("aria-pressed", String(player.loop));
  };
})();
