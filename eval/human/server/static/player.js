"use strict";
// Linked playback of several clips by one clock, with the audio of one of them at a time.
//
// The clock is the media time of the leader, the clip that is heard (or the first). The others follow it: twenty times
// a second both times are read at one moment, and an offset is corrected by up to a quarter of speed, or by a seek if it is
// large. A change of speed would be heard, so the leader is never changed. Browsers show frames up to a frame before or
// after their media time, each clip by its own cadence: the mean of that difference (`shift`) is corrected too.
(() => {
  const Study = window.Study;
  const SEEK_ABOVE = 0.2; // seconds of offset that are corrected by a seek
  const CORRECT_ABOVE = 0.012; // seconds of offset at which a correction begins,
  const CORRECT_UNTIL = 0.002; // and at which it ends
  const LOOK_MS = 50;
  const NUM_OFFSETS = 3; // the median of as many looks is corrected
  const MAX_SPEED_CHANGE = 0.25;
  const SETTLE = 0.25; // seconds in which an offset is corrected
  const SHIFT_WEIGHT = 0.1; // of a shown frame in the mean of the shift
  const MAX_SHIFT = 0.06; // seconds; more is no cadence
  const FRESH_MS = 100; // frames of two clips are compared that were shown within this time
  const RAMP = 0.012; // seconds of fading audio, against clicks
  const moving = ({ paused, seeking, ended }) => !paused && !seeking && !ended;

  class Player extends EventTarget {
    // clips: [{ element, fps }], elements of video or audio whose files are loaded. audible: whether there is audio.
    constructor(clips, { audible }) {
      super();
      this.clips = clips.map((clip) => ({ ...clip, offsets: [], shift: 0, shown: null }));
      this.leader = 0;
      this.loop = false;
      this.playing = false; // what the rater asked for, also while seeking
      this.audible = audible;
      this.busy = Promise.resolve();
      this.numPlays = 0;
      this.numSeeks = 0;
      this.gains = [];
      for (const clip of this.clips) this.follow(clip);
      this.looks = setInterval(() => this.correct(), LOOK_MS);
      if (audible) this.connectAudio();
      else for (const { element } of this.clips) element.muted = true;
    }

    get duration() {
      return Math.min(...this.clips.map(({ element }) => element.duration || 0));
    }

    get time() {
      return this.clips[this.leader].element.currentTime;
    }

    // One audio graph: every clip has a gain, all but one are zero. `analysers` let tests hear which.
    connectAudio() {
      const Context = window.AudioContext || window.webkitAudioContext;
      if (Context) {
        this.audio = new Context();
        this.analysers = this.clips.map(({ element }) => {
          const gain = this.audio.createGain();
          const analyser = this.audio.createAnalyser();
          gain.gain.value = 0;
          this.audio.createMediaElementSource(element).connect(gain).connect(analyser).connect(this.audio.destination);
          this.gains.push(gain);
          return analyser;
        });
      }
      this.listen(0);
    }

    // Hear one clip and silence the others.
    listen(index) {
      if (!this.audible) return;
      this.leader = index;
      this.clips.forEach(({ element }, each) => {
        if (this.gains.length) this.gains[each].gain.setTargetAtTime(each === index ? 1 : 0, this.audio.currentTime, RAMP);
        else element.muted = each !== index;
        element.playbackRate = 1;
      });
      this.forgetOffsets();
      this.emit("listen");
    }

    play() {
      this.playing = true;
      this.numPlays += 1;
      this.emit("change");
      return this.enqueue(() => this.start());
    }

    pause() {
      this.playing = false;
      for (const { element } of this.clips) element.pause();
      this.emit("change");
      return this.enqueue(async () => {
        if (!this.playing) await this.align(this.time);
      });
    }

    toggle() {
      return this.playing ? this.pause() : this.play();
    }

    seek(time) {
      this.numSeeks += 1;
      return this.jump(time);
    }

    jump(time) {
      return this.enqueue(async () => {
        await this.align(Math.max(0, Math.min(time, this.duration - 0.001)));
        if (this.playing) await this.start();
      });
    }

    stepFrame(direction) {
      this.pause();
      return this.seek(this.time + direction / (this.clips[0].fps || 25) + 1e-4);
    }

    // One change of playback after the other.
    enqueue(action) {
      this.busy = this.busy.then(action).catch((error) => this.fail(error));
      return this.busy;
    }

    async start() {
      if (this.audio && !(await Study.startAudio(this.audio))) throw new Error("audio_blocked");
      if (this.time >= this.duration - 0.03) await this.align(0);
      if (!this.playing) return;
      this.forgetOffsets();
      await Promise.all(this.clips.map(({ element }) => element.play()));
      this.emit("started");
    }

    // Bring all clips, paused, to one time.
    async align(time) {
      const elements = this.clips.map(({ element }) => element);
      for (const element of elements) {
        element.pause();
        element.playbackRate = 1;
      }
      await Promise.all(
        elements.map((element) => {
          if (Math.abs(element.currentTime - time) < 1e-4 && !element.seeking) return null;
          const seeked = new Promise((resolve) => element.addEventListener("seeked", resolve, { once: true }));
          element.currentTime = time;
          return seeked;
        }),
      );
    }

    follow(clip) {
      const { element } = clip;
      element.loop = false;
      element.preservesPitch = false; // only silent clips change speed, and keeping pitch delays them
      element.addEventListener("ended", () => this.ended());
      element.addEventListener("waiting", () => this.stalled(element));
      element.addEventListener("error", () => this.fail(element.error));
      if (!element.requestVideoFrameCallback) return;
      const onframe = (now, frame) => {
        clip.shown = { now, start: frame.expectedDisplayTime / 1000 - frame.mediaTime };
        this.compareShown(clip);
        element.requestVideoFrameCallback(onframe);
      };
      element.requestVideoFrameCallback(onframe);
    }

    forgetOffsets() {
      for (const clip of this.clips) Object.assign(clip, { offsets: [], shift: 0, shown: null });
    }

    // Update how much earlier or later than their media times two clips show their frames.
    compareShown(clip) {
      const leader = this.clips[this.leader];
      for (const other of clip === leader ? this.clips : [clip]) {
        if (other === leader || !moving(other.element) || !moving(leader.element)) continue;
        if (!other.shown || !leader.shown || Math.abs(other.shown.now - leader.shown.now) > FRESH_MS) continue;
        const offset = leader.shown.start - other.shown.start;
        const shift = offset - (other.element.currentTime - leader.element.currentTime);
        if (Math.abs(shift) <= MAX_SHIFT) other.shift += SHIFT_WEIGHT * (shift - other.shift);
      }
    }

    // Compare all clips with the leader and correct those that are off.
    correct() {
      const leader = this.clips[this.leader].element;
      if (!this.playing || !moving(leader)) return;
      for (const clip of this.clips) {
        const { element, offsets } = clip;
        if (element === leader || !moving(element)) continue;
        offsets.push(element.currentTime - leader.currentTime);
        if (offsets.length < NUM_OFFSETS) continue;
        const offset = [...offsets].sort((a, b) => a - b)[Math.floor(NUM_OFFSETS / 2)] + clip.shift;
        offsets.shift();
        if (Math.abs(offset) > SEEK_ABOVE) {
          clip.offsets = [];
          this.realign();
          return;
        }
        const limit = element.playbackRate === 1 ? CORRECT_ABOVE : CORRECT_UNTIL;
        const change = Math.abs(offset) < limit ? 0 : -offset / SETTLE;
        const rate = 1 + Math.max(-MAX_SPEED_CHANGE, Math.min(MAX_SPEED_CHANGE, change));
        const alike = Math.abs(element.playbackRate - rate) < 0.005;
        if (rate === element.playbackRate || (alike && rate !== 1)) continue;
        element.playbackRate = rate;
        clip.offsets = [];
      }
    }

    realign() {
      this.enqueue(async () => {
        if (!this.playing) return;
        await this.align(this.time);
        await this.start();
      });
    }

    // A clip without data stops all, so that they continue together.
    stalled(element) {
      if (this.playing && !element.seeking && !element.ended) this.realign();
    }

    // The first clip that ends gives the others a moment, since they may be a frame behind.
    ended() {
      if (this.ending) return;
      this.ending = true;
      setTimeout(() => {
        this.ending = false;
        this.emit("end");
        if (this.loop && this.playing) this.jump(0);
        else this.pause();
      }, 120);
    }

    fail(error) {
      if (error && error.name === "AbortError") return; // play() that a pause interrupted
      this.playing = false;
      this.emit("change");
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }

    emit(name) {
      this.dispatchEvent(new Event(name));
    }

    close() {
      this.playing = false;
      clearInterval(this.looks);
      for (const { element } of this.clips) {
        element.pause();
        if (element.src.startsWith("blob:")) URL.revokeObjectURL(element.src);
        element.removeAttribute("src");
        element.load();
      }
      if (this.audio) this.audio.close();
    }
  }

  Study.Player = Player;
})();
