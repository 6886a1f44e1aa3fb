"use strict";
// What was seen and heard while one task was on the screen: evidence of the answer, and the gate before it.
(() => {
  const Study = window.Study;
  const STEP = 0.1; // seconds of one mark of the played parts
  const MAX_GAP = 3; // seconds between two looks on a busy machine
  const VERSION = "1";

  class Watch {
    constructor(player, elements, stage) {
      Object.assign(this, { player, elements, stage });
      this.seen = elements.map(() => new Set());
      this.heard = elements.map(() => new Set());
      this.last = elements.map(() => null);
      this.begin = performance.now();
      this.hiddenMs = 0;
      this.unfocusedMs = 0;
      this.tick = performance.now();
      for (const [index, element] of elements.entries()) {
        element.addEventListener("seeking", () => (this.last[index] = null));
      }
      this.timer = setInterval(() => this.update(), 50);
    }

    // Marks the parts that were played since the last look; only while the page is visible.
    update() {
      const now = performance.now();
      const passed = now - this.tick;
      this.tick = now;
      if (document.hidden) this.hiddenMs += passed;
      if (!document.hasFocus()) this.unfocusedMs += passed;
      this.elements.forEach((element, index) => {
        const time = element.currentTime;
        const from = this.last[index];
        const played = from !== null && time > from && time - from < MAX_GAP && !document.hidden;
        if (played) {
          this.mark(this.seen[index], from, time, element.duration);
          if (this.player.audible && this.player.leader === index) this.mark(this.heard[index], from, time, element.duration);
        }
        this.last[index] = element.seeking || (element.paused && !element.ended) ? null : time;
      });
    }

    mark(set, from, to, duration) {
      const end = to >= duration - 0.06 ? duration : to; // the last frame is shown until the end
      for (let part = Math.floor(from / STEP); part * STEP < end; part += 1) set.add(part);
    }

    fraction(set, element) {
      const parts = Math.ceil(element.duration / STEP - 1e-6);
      return parts > 0 ? Math.min(1, set.size / parts) : 1;
    }

    // Fraction of each clip that was seen, and heard where there is audio.
    fractions() {
      return this.elements.map((element, index) => {
        const seen = this.fraction(this.seen[index], element);
        return this.player.audible ? Math.min(seen, this.fraction(this.heard[index], element)) : seen;
      });
    }

    evidence() {
      this.update();
      const seconds = (sets) => this.elements.map((e, i) => Number((this.fraction(sets[i], e) * e.duration).toFixed(2)));
      const box = this.stage.getBoundingClientRect();
      return {
        watched_s: seconds(this.seen),
        audible_s: seconds(this.heard),
        duration_s: this.elements.map((element) => Number(element.duration.toFixed(3))),
        num_plays: this.player.numPlays,
        num_seeks: this.player.numSeeks,
        hidden_s: Number((this.hiddenMs / 1000).toFixed(2)),
        unfocused_s: Number((this.unfocusedMs / 1000).toFixed(2)),
        time_s: Number(((performance.now() - this.begin) / 1000).toFixed(2)),
        screen: [screen.width, screen.height],
        player: [Math.round(box.width), Math.round(box.height)],
        user_agent: browserFamily(),
        page_version: VERSION,
      };
    }

    close() {
      clearInterval(this.timer);
    }
  }

  // The kind of browser, not its whole signature, which would tell raters apart.
  function browserFamily() {
    const agent = navigator.userAgent;
    const found = /(Firefox|Edg|OPR|Chrome|Safari)\/(\d+)/.exec(agent.replace(/.*(Firefox|Edg|OPR)\//, "$1/"));
    return `${found ? `${found[1]} ${found[2]}` : "other"}${/Mobi/.test(agent) ? " mobile" : ""}`;
  }

  // Images are seen while they are on the screen.
  class ImageWatch extends Watch {
    constructor(elements, stage) {
      super({ audible: false, numPlays: 0, numSeeks: 0, leader: 0 }, elements, stage);
    }

    update() {
      const now = performance.now();
      if (document.hidden) this.hiddenMs += now - this.tick;
      if (!document.hasFocus()) this.unfocusedMs += now - this.tick;
      this.tick = now;
    }

    shown() {
      return Math.max(0, (performance.now() - this.begin - this.hiddenMs) / 1000);
    }

    fractions() {
      return this.elements.map(() => Math.min(1, this.shown() / 1.5));
    }

    evidence() {
      const evidence = { duration_s: this.elements.map(() => 1), watched_s: this.elements.map(() => Math.min(1, this.shown())) };
      this.elements.forEach((element) => Object.defineProperty(element, "duration", { value: 1, configurable: true }));
      return { ...super.evidence(), ...evidence, audible_s: this.elements.map(() => 0) };
    }
  }

  Study.Watch = Watch;
  Study.ImageWatch = ImageWatch;
})();
