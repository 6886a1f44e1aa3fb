"use strict";
// The display check and the audio check, before the first task that needs them.
(() => {
  const Study = window.Study;
  const { element, text } = Study;

  const seconds = 0.9;

  Study.displayCheck = (state, done) => {
    const levels = [0, 6, 12, 20, 235, 243, 249, 255];
    const canvas = element("canvas", { width: 640, height: 120, class: "bars", role: "img", "aria-label": text("display_title") });
    const context = canvas.getContext("2d");
    levels.forEach((level, index) => {
      context.fillStyle = `rgb(${level}, ${level}, ${level})`;
      context.fillRect(index * 80, 0, 80, 120);
    });
    const small = window.innerWidth < state.min_width;
    const next = element("button", { type: "button", class: "primary", disabled: true, onclick: () => submit() }, text("continue"));
    const numbers = ["–", ...levels.map((_, index) => index + 1)];
    const count = element(
      "select",
      { id: "bars", onchange: () => (next.disabled = count.value === "–") },
      numbers.map((number) => element("option", { value: number }, String(number))),
    );
    const submit = () =>
      done({
        bars: Number(count.value),
        width: window.innerWidth,
        height: window.innerHeight,
        pixel_ratio: window.devicePixelRatio,
        dark: matchMedia("(prefers-color-scheme: dark)").matches,
      });
    Study.show(
      "check text",
      element("h2", {}, text("display_title")),
      element("p", {}, text("display_text")),
      canvas,
      element("p", {}, element("label", { for: "bars" }, text("display_count")), " ", count),
      small && element("p", { class: "hint" }, text("display_small")),
      next,
    );
  };

  // Three tones: one on the left, one on the right, one on both, in an order that differs.
  Study.audioCheck = (state, done) => {
    const sides = ["left", "right", "both"].sort(() => Math.random() - 0.5);
    const heard = [];
    let failures = 0;
    let audio = null;
    let starting = false;
    const hint = element("p", { class: "hint", role: "status" });
    const answers = element("div", { class: "options" });
    const headphones = element("input", { type: "checkbox", id: "headphones" });

    const play = async () => {
      if (starting) return;
      audio = audio || new (window.AudioContext || window.webkitAudioContext)();
      starting = true;
      const runs = await Study.startAudio(audio);
      starting = false;
      hint.textContent = runs ? "" : text("audio_blocked");
      if (!runs) return;
      const side = sides[heard.length];
      const tone = audio.createOscillator();
      const gain = audio.createGain();
      const pan = audio.createStereoPanner();
      tone.frequency.value = 440;
      pan.pan.value = { left: -1, right: 1, both: 0 }[side];
      gain.gain.setValueAtTime(0, audio.currentTime);
      gain.gain.linearRampToValueAtTime(0.2, audio.currentTime + 0.05);
      gain.gain.setValueAtTime(0.2, audio.currentTime + seconds - 0.05);
      gain.gain.linearRampToValueAtTime(0, audio.currentTime + seconds);
      tone.connect(gain).connect(pan).connect(audio.destination);
      tone.start();
      tone.stop(audio.currentTime + seconds);
      answers.hidden = false;
      answers.dataset.side = side;
      answers.querySelector("button").focus();
    };

    const answer = (side) => {
      if (side !== sides[heard.length]) {
        failures += 1;
        hint.textContent = text("audio_wrong");
        // Without stereo the rater may still take part; the result is kept and can be excluded.
        if (failures < 3) return;
      } else {
        hint.textContent = "";
      }
      heard.push(side === sides[heard.length]);
      answers.hidden = true;
      if (heard.length < 3) {
        playButton.focus();
        return;
      }
      const rate = audio.sampleRate;
      audio.close();
      done({ correct: heard.filter(Boolean).length, failures, headphones: headphones.checked, autoplay: true, sample_rate: rate });
    };

    const playButton = element("button", { type: "button", class: "primary", id: "tone", onclick: play }, text("audio_play"));
    answers.hidden = true;
    ["left", "both", "right", "none"].forEach((side) =>
      answers.append(element("button", { type: "button", class: "option", "data-value": side, onclick: () => answer(side) }, text(`audio_${side}`))),
    );
    Study.show(
      "check text",
      element("h2", {}, text("audio_title")),
      element("p", {}, text("audio_text")),
      element("p", {}, headphones, " ", element("label", { for: "headphones" }, text("audio_headphones"))),
      element("p", {}, playButton),
      answers,
      hint,
    );
  };
})();
