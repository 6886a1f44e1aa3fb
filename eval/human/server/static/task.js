"use strict";
// The page of one task: the question, its clips (clips.js) and its answer.
(() => {
  const Study = window.Study;
  const { element, text } = Study;
  const prefetched = new Map(); // url -> promise of a blob URL

  Study.prefetch = (urls) => {
    for (const url of urls || []) {
      if (!prefetched.has(url)) prefetched.set(url, Study.backend.media(url));
      prefetched.get(url).catch(() => prefetched.delete(url));
    }
  };
  const load = (url, options) => {
    const known = prefetched.get(url);
    prefetched.delete(url);
    return known || Study.backend.media(url, options);
  };

  Study.closeTask = () => {
    if (!Study.current) return;
    Study.current.abort.abort();
    if (Study.current.watch) Study.current.watch.close();
    if (Study.current.player) Study.current.player.close();
    Study.current = null;
  };

  // state: the study's; task: what is shown; given: an earlier answer. saved(feedback) is called after "saved".
  Study.showTask = async (state, task, { given = null, saved, goBack }) => {
    Study.closeTask();
    const current = { abort: new AbortController(), task };
    Study.current = current;
    const bar = element("progress", { max: 1, value: 0, "aria-label": text("loading") });
    Study.show("task", heading(state, task), element("div", { class: "loading" }, bar, element("p", {}, text("loading"))));
    const done = task.stimuli.map(() => 0);
    try {
      current.urls = await Promise.all(
        task.stimuli.map((each, index) =>
          load(each.url, {
            signal: current.abort.signal,
            onprogress: (fraction) => {
              done[index] = fraction;
              bar.value = done.reduce((a, b) => a + b, 0) / done.length;
            },
          }),
        ),
      );
      current.shown = {};
      for (const name of ["source", "reference"]) {
        if (task.shown[name]) current.shown[name] = await load(task.shown[name], { signal: current.abort.signal });
      }
      if (Study.current === current) await build(state, task, current, { given, saved, goBack });
      Study.prefetch(state.next_media);
    } catch (error) {
      if (Study.current === current && error.name !== "AbortError") mediaFailed(error);
    }
  };

  const mediaFailed = (error) => {
    Study.status("error", text(error && error.message === "audio_blocked" ? "audio_blocked" : "media_failed"));
    document.getElementById("page").dataset.error = String((error && error.message) || error);
  };

  const heading = (state, task) =>
    element(
      "div",
      { class: "heading" },
      element(
        "div",
        { class: "progress" },
        element("progress", { max: state.total || 1, value: state.done, "aria-label": text("progress", { done: state.done, total: state.total }) }),
        element("span", {}, text("progress", { done: state.done, total: state.total })),
      ),
      element("p", { class: "over" }, task.practice && element("span", { class: "badge" }, text("practice")), task.axis.name),
      element("h2", { class: "question" }, task.axis.question),
    );

  async function build(state, task, current, { given, saved, goBack }) {
    const count = task.stimuli.length;
    const isImage = task.axis.medium === "image";
    const elements = task.stimuli.map((each, index) => Study.clipElement(each, current.urls[index], index, count));
    if (!isImage) await Promise.all(elements.map(Study.clipReady));
    if (Study.current !== current) return;

    const figures = elements.map((node, index) => {
      const side = Study.sideName(index, count);
      const hear =
        task.axis.audible &&
        count > 1 &&
        element("button", { type: "button", class: "hear", "aria-pressed": "false", onclick: () => current.player.listen(index) }, text("side_audio", { side }));
      return element("figure", { class: `clip ${task.axis.medium}` }, element("figcaption", {}, side, hear), node);
    });
    const stage = element("div", { class: `stage count-${Math.min(count, 4)}` }, figures);
    const player = isImage ? null : new Study.Player(elements.map((node, i) => ({ element: node, fps: task.stimuli[i].fps })), { audible: task.axis.audible });
    current.player = player;
    const watch = isImage ? new Study.ImageWatch(elements, stage) : new Study.Watch(player, elements, stage);
    current.watch = watch;

    const marks = [];
    const gate = element("p", { class: "gate", id: "gate" });
    const save = element("button", { type: "button", class: "primary", id: "save", disabled: true, onclick: () => submit() }, text("save"), " ", element("kbd", {}, "Enter"));
    const comment = element("textarea", { id: "comment", rows: 2, maxlength: 1000 });
    let open = given !== null;
    const control = Study.answerControl(task.axis, count, {
      changed: () => (save.disabled = !open || control.answer() === null),
      listen: (index) => player && player.listen(index),
    });
    control.enable(open);
    if (given) control.set(given);

    const checkGate = () => {
      const fractions = watch.fractions();
      if (!open && fractions.every((fraction) => fraction >= state.watch_fraction)) {
        open = true;
        control.enable(true);
        save.disabled = control.answer() === null;
      }
      const pending = fractions.map((f, i) => text("watched", { side: Study.sideName(i, count), percent: Math.floor(f * 100) }));
      gate.textContent = open ? "" : `${task.axis.audible && count > 1 ? text("listen_all", { keys: "S" }) : text("watch_all")} ${pending.join(" · ")}`;
    };
    const ticker = setInterval(checkGate, 200);
    current.abort.signal.addEventListener("abort", () => clearInterval(ticker));

    const markList = element("ul", { class: "marks" });
    const addMark = () => {
      const mark = { position: player.leader, seconds: Number(player.time.toFixed(3)) };
      marks.push(mark);
      const row = element(
        "li",
        {},
        `${Study.sideName(mark.position, count)} ${mark.seconds.toFixed(2)} s `,
        element("button", { type: "button", onclick: () => (marks.splice(marks.indexOf(mark), 1), row.remove()) }, text("remove")),
      );
      markList.append(row);
    };

    let busy = false;
    const submit = async () => {
      const answer = control.answer();
      if (busy || !open || answer === null) return;
      busy = true;
      save.disabled = true;
      control.enable(false);
      if (player) player.pause();
      const evidence = watch.evidence();
      const vote = { position: task.position, key: Study.randomKey(), answer, marks: [...marks], comment: comment.value, evidence };
      Study.status("saving", text("saving"));
      try {
        const result = await Study.submit(state.rater, vote);
        Study.status("saved", text("saved"));
        if (result.feedback) showFeedback(result.feedback, () => saved(result));
        else saved(result);
      } catch (error) {
        Study.status("error", text("rejected", { reason: error.message }));
        saved(null);
      }
    };

    const showFeedback = (feedback, next) => {
      const verdict = feedback.correct === null ? "" : text(feedback.correct ? "correct" : "incorrect");
      const button = element("button", { type: "button", class: "primary", id: "next", onclick: next }, text("continue"));
      form.replaceChildren(
        element("div", { class: `feedback ${feedback.correct ? "right" : "other"}`, role: "status" }, element("p", {}, element("strong", {}, verdict)), element("p", {}, feedback.explanation)),
        button,
      );
      current.next = next;
      button.focus();
    };

    const form = element(
      "div",
      { class: "answer" },
      task.explanation && element("p", { class: "explanation" }, task.explanation),
      gate,
      control.node,
      task.axis.marks && player && element("div", {}, element("button", { type: "button", id: "mark", onclick: addMark }, text("mark"), " ", element("kbd", {}, "M")), markList),
      element("details", { class: "comment" }, element("summary", {}, text("comment")), element("label", { for: "comment", class: "hidden" }, text("comment")), comment),
      element(
        "div",
        { class: "row" },
        goBack && element("button", { type: "button", id: "back", onclick: goBack }, text("back")),
        save,
      ),
    );
    current.keys = { control, submit, goBack, addMark: task.axis.marks && player ? addMark : null, count };

    Study.show(
      "task",
      heading(state, task),
      given && element("p", { class: "hint" }, text("revise")),
      Study.comparison(task, current),
      count === 2 && element("p", { class: "stacked hint" }, text("stacked")),
      stage,
      player && Study.controls(player, count),
      form,
    );
    if (player) {
      player.addEventListener("listen", () => Study.markAudible(figures, player));
      player.addEventListener("failed", (event) => mediaFailed(event.detail));
      player.addEventListener("started", () => Study.clearStatus("error"));
      Study.markAudible(figures, player);
    }
    checkGate();
  }
})();
