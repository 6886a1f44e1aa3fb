"use strict";
// From the personal link to the last task: asks where the rater is and shows that page.
(() => {
  const Study = window.Study;
  const { element, text } = Study;
  const HEARTBEAT_MS = 30000;
  let state = null;
  let client = "";

  const MESSAGES = ["paused", "closed", "full", "expired", "returned"];

  async function begin() {
    Study.texts = await retryTexts();
    const browser = (navigator.language || "en").slice(0, 2);
    Study.language = Study.texts[browser] ? browser : Object.keys(Study.texts)[0];
    client = sessionStorage.getItem("study-client") || Study.randomKey();
    sessionStorage.setItem("study-client", client);
    const token = location.pathname === "/join" ? location.hash.slice(1) : "";
    if (token) {
      history.replaceState(null, "", "/"); // the secret leaves the address bar and the history
      try {
        await Study.backend.join(token, Study.language);
      } catch (error) {
        tools();
        return Study.show("text", element("h2", {}, text("no_session_title")), element("p", {}, text(error.status === 429 ? "too_many" : "unknown_link")));
      }
    }
    await refresh(true);
    if (state && (await Study.flush(state.rater))) await refresh();
  }

  const retryTexts = async () => {
    for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
      try {
        return await Study.backend.texts();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  };

  async function refresh(take = false) {
    try {
      state = await Study.backend.state(client, take);
    } catch (error) {
      Study.closeTask();
      state = null;
      tools();
      if (error.status === 401) return Study.show("text", element("h2", {}, text("no_session_title")), element("p", {}, text("no_session_text")));
      return Study.show("text", element("p", { class: "error" }, error.message));
    }
    Study.language = state.language;
    document.documentElement.lang = state.language;
    render();
  }

  const act = (request) => async () => {
    await request();
    await refresh();
  };

  function render() {
    tools();
    if (state.page !== "task") Study.closeTask();
    if (state.page === "task") return showCurrent();
    if (state.page === "consent") return Study.consentPage(state, act(() => Study.backend.consent(Study.language)));
    if (state.page === "display_check") return Study.displayCheck(state, (result) => act(() => Study.backend.check("display", result))());
    if (state.page === "audio_check") return Study.audioCheck(state, (result) => act(() => Study.backend.check("audio", result))());
    if (state.page === "instructions") return Study.instructionsPage(state, act(() => Study.backend.instructions(state.axis.id)));
    if (state.page === "superseded") {
      return Study.messagePage("superseded", element("button", { type: "button", class: "primary", id: "here", onclick: () => refresh(true) }, text("superseded_button")));
    }
    if (MESSAGES.includes(state.page)) return Study.messagePage(state.page);
    return Study.endPage(state);
  }

  // Each task is an entry of the browser's history, so its back button shows the one before.
  function showCurrent() {
    const { position } = state.task;
    if (!history.state || history.state.position === undefined) history.replaceState({ position }, "");
    else if (history.state.position !== position) history.pushState({ position }, "");
    const before = state.answered.filter((each) => each < position);
    Study.showTask(state, state.task, {
      saved: () => refresh(),
      goBack: before.length ? () => revise(before[before.length - 1], true) : null,
    });
  }

  async function revise(position, push) {
    let found;
    try {
      found = await Study.backend.task(position);
    } catch {
      return refresh();
    }
    if (push) history.pushState({ position }, "");
    const before = state.answered.filter((each) => each < position);
    return Study.showTask(state, found.task, {
      given: found.answer,
      saved: () => refresh(),
      goBack: before.length ? () => revise(before[before.length - 1], true) : null,
    });
  }

  addEventListener("popstate", (event) => {
    if (!state || state.page !== "task" || !event.state) return;
    const { position } = event.state;
    if (state.answered.includes(position)) revise(position, false);
    else if (!Study.current || Study.current.task.position !== state.task.position) refresh();
  });

  // Language, help, break and return of the work, on every page.
  function tools() {
    const bar = document.getElementById("tools");
    if (!state) return bar.replaceChildren();
    document.getElementById("title").textContent = state.study;
    document.title = state.study;
    const languages = element(
      "select",
      {
        "aria-label": "Language / Sprache / 语言",
        id: "language",
        onchange: (event) => act(() => Study.backend.language(event.target.value))(),
      },
      state.languages.map((code) => element("option", { value: code }, (Study.texts[code] || {}).language_name || code)),
    );
    languages.value = state.language;
    const working = ["task", "instructions"].includes(state.page);
    bar.replaceChildren(
      ...[
        Study.backend.tool && Study.backend.tool(),
        working && state.axis && element("button", { type: "button", id: "help", onclick: help }, text("help"), " ", element("kbd", {}, "?")),
        working && !Study.backend.offline && element("button", { type: "button", id: "break", onclick: takeBreak }, text("pause_study")),
        languages,
        !Study.backend.offline && element("a", { href: `/privacy?lang=${state.language}`, target: "_blank", rel: "noopener" }, text("privacy")),
      ].filter(Boolean),
    );
  }

  function help() {
    Study.dialog(text("help"), element("h3", {}, state.axis.name), Study.paragraphs(state.axis.instructions), element("h3", {}, text("keys_title")), Study.keyList(state.axis));
  }

  function takeBreak() {
    Study.closeTask();
    const leave = element("button", { type: "button", id: "leave", onclick: () => confirmLeave() }, text("leave"));
    Study.show(
      "text",
      element("h2", {}, text("pause_study")),
      element("p", {}, text("pause_text")),
      element("p", { class: "row" }, element("button", { type: "button", class: "primary", id: "resume", onclick: () => refresh(true) }, text("resume")), leave),
    );
  }

  function confirmLeave() {
    const dialog = Study.dialog(
      text("leave"),
      element("p", {}, text("leave_confirm")),
      element("button", { type: "button", id: "leave-yes", onclick: () => (dialog.close(), act(() => Study.backend.leave())()) }, text("yes")),
    );
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.key === "?" && state && state.axis && !/INPUT|TEXTAREA/.test(event.target.tagName)) return help();
    const current = Study.current;
    if (!current || !current.keys || event.target.closest("textarea, select, input[type=checkbox]")) return;
    if (runKey(current, event)) event.preventDefault();
  });

  // Returns whether a key was one of the task's.
  function runKey({ player, keys, next }, event) {
    const { key, target } = event;
    const onSlider = target.matches("input[type=range]");
    const onButton = target.matches("button, summary, a");
    const digit = /^Digit([1-9])$/.exec(event.code) || /^([1-9])$/.exec(key);
    if (digit) return keys.control.key(Number(digit[1]));
    if (key === "Enter") {
      if (next) return onButton ? false : (next(), true);
      if (onButton && !target.matches(".option")) return false;
      keys.submit();
      return true;
    }
    if (key === "b" || key === "B") return keys.goBack ? (keys.goBack(), true) : false;
    if (!player) return false;
    const actions = {
      s: () => player.listen((player.leader + 1) % keys.count),
      l: () => Study.toggleLoop(player),
      m: () => keys.addMark && keys.addMark(),
      ",": () => player.stepFrame(-1),
      ".": () => player.stepFrame(1),
    };
    if (key === " " && !onButton) actions[" "] = () => player.toggle();
    if (!onSlider) {
      Object.assign(actions, {
        ArrowLeft: () => player.seek(player.time - 1),
        ArrowRight: () => player.seek(player.time + 1),
        Home: () => player.seek(0),
      });
    }
    const action = actions[key.length === 1 ? key.toLowerCase() : key];
    if (!action) return false;
    action();
    return true;
  }

  // Notices a pause of the study, another window, and keeps the session from running out.
  setInterval(async () => {
    if (!state || document.hidden || Study.backend.offline || !Study.current) return;
    const now = await Study.backend.state(client, false).catch(() => null);
    if (now && now.page !== state.page && [...MESSAGES, "superseded"].includes(now.page)) {
      state = now;
      render();
    }
  }, HEARTBEAT_MS);

  Study.refresh = refresh;
  begin();
})();
