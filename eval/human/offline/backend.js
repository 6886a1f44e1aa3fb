"use strict";
// The server's part of a study inside one file: where the rater is, practice, and answers in this browser's storage.
(() => {
  const Study = window.Study;
  const data = JSON.parse(document.getElementById("study-data").textContent);
  const NAME = `study-${data.plan_hash}-${data.rater}`;

  const empty = { language: data.language, consented_at: 0, checks: {}, instructions: [], qualification: {}, votes: [] };
  let kept = empty;
  try {
    kept = { ...empty, ...JSON.parse(localStorage.getItem(NAME) || "{}") };
  } catch {
    // A browser without storage: answers last as long as the page.
  }
  const keep = () => {
    try {
      localStorage.setItem(NAME, JSON.stringify(kept));
    } catch (error) {
      throw Object.assign(new Error(String(error)), { permanent: false });
    }
  };

  // The last answer to each position, with its place in the list of all answers.
  const answers = () => new Map(kept.votes.map((vote, number) => [vote.position, { number, answer: vote.answer }]));

  const prefers = (answer, a, b) => {
    if ("choice" in answer) {
      const chosen = { left: 0, right: 1 }[answer.choice];
      return chosen === undefined ? 0 : chosen === a ? 1 : -1;
    }
    if ("ratings" in answer) return Math.sign(answer.ratings[a] - answer.ratings[b]);
    return answer.ranking.indexOf(a) < answer.ranking.indexOf(b) ? 1 : -1;
  };
  const isExpected = (task, answer) => {
    if (!task.has_expected) return null;
    if ("rating" in answer) return answer.rating <= 2;
    return task.expected.length ? prefers(answer, ...task.expected) === 1 : prefers(answer, 0, 1) === 0;
  };

  const practiceOf = (axis) => data.tasks.filter((task) => task.axis.id === axis && task.practice === "qualification");

  // Count a qualification whose tasks are all answered since the last try; returns a page if it was failed.
  const evaluate = (position, given) => {
    const axes = new Set(data.tasks.slice(0, position).map((task) => task.axis.id));
    for (const axis of axes) {
      const state = kept.qualification[axis] || { tries: 0, after: -1 };
      const tasks = practiceOf(axis);
      if (state.passed || !tasks.length || tasks.at(-1).position >= position) continue;
      if (tasks.some((task) => !given.has(task.position) || given.get(task.position).number <= state.after)) continue;
      const correct = tasks.filter((task) => isExpected(task, given.get(task.position).answer)).length;
      const passed = correct >= Math.min(tasks[0].min_correct, tasks.length);
      kept.qualification[axis] = { tries: state.tries + 1, correct, num: tasks.length, passed, after: kept.votes.length - 1 };
      if (!passed) kept.instructions = kept.instructions.filter((each) => each !== axis);
      keep();
      if (!passed) return { page: state.tries + 1 >= data.tries ? "screened_out" : "instructions", axis };
    }
    return null;
  };

  const nextStep = () => {
    if (!kept.consented_at) return { page: "consent" };
    if (Object.values(kept.qualification).some((each) => !each.passed && each.tries >= data.tries)) return { page: "screened_out" };
    const given = answers();
    for (const task of data.tasks) {
      const state = kept.qualification[task.axis.id];
      const again = state && !state.passed && task.practice === "qualification" && given.has(task.position) && given.get(task.position).number <= state.after;
      if (given.has(task.position) && !again) continue;
      const failed = evaluate(task.position, given);
      if (failed) return failed;
      if (task.axis.medium !== "audio" && !kept.checks.display) return { page: "display_check" };
      if (task.axis.audible && !kept.checks.audio) return { page: "audio_check" };
      if (!kept.instructions.includes(task.axis.id)) return { page: "instructions", axis: task.axis.id };
      return { page: "task", axis: task.axis.id, task };
    }
    return evaluate(data.tasks.length, given) || { page: "finished" };
  };

  const local = (texts) => texts[kept.language] || texts.en || Object.values(texts)[0] || "";
  const view = (task) => ({ ...task, axis: local(task.axes), explanation: task.practice === "example" ? local(task.explanations) : "" });

  const save = () => {
    const content = { format: 1, rater: data.rater, slot: data.slot, plan_hash: data.plan_hash, ...kept };
    const url = URL.createObjectURL(new Blob([JSON.stringify(content)], { type: "application/json" }));
    const link = Study.element("a", { href: url, download: `answers-${data.rater}.json` });
    document.body.append(link);
    link.click();
    link.remove();
  };

  Study.backend = {
    offline: true,
    texts: async () => data.strings,
    state: async () => {
      const step = nextStep();
      const given = answers();
      const axis = step.axis && data.tasks.find((task) => task.axis.id === step.axis);
      return {
        page: step.page,
        rater: data.rater,
        study: local(data.title) || data.name,
        state: "open",
        language: kept.language,
        languages: data.languages,
        contact: data.contact,
        watch_fraction: data.watch_fraction,
        min_width: data.min_width,
        done: given.size,
        total: data.tasks.length,
        answered: data.tasks.map((task) => task.position).filter((position) => given.has(position)),
        axis: axis ? local(axis.axes) : undefined,
        again: Boolean(step.axis && kept.qualification[step.axis]),
        task: step.task ? view(step.task) : undefined,
        code: step.page === "finished" ? data.code : "",
      };
    },
    consent: async (language) => {
      kept.consented_at = kept.consented_at || Date.now() / 1000;
      kept.language = language;
      keep();
    },
    language: async (language) => {
      kept.language = language;
      keep();
    },
    check: async (name, result) => {
      kept.checks[name] = result;
      keep();
    },
    instructions: async (axis) => {
      kept.instructions = [...new Set([...kept.instructions, axis])];
      keep();
    },
    task: async (position) => {
      const found = answers().get(position);
      return { task: view(data.tasks[position]), answer: found.answer };
    },
    leave: async () => {},
    vote: async (vote) => {
      if (!kept.votes.some((each) => each.key === vote.key)) kept.votes.push({ ...vote, answered_at: Date.now() / 1000 });
      keep();
      const task = data.tasks[vote.position];
      const feedback = task.practice ? { correct: isExpected(task, vote.answer), explanation: local(task.explanations) } : null;
      return { saved: true, revision: kept.votes.filter((each) => each.position === vote.position).length, feedback };
    },
    media: async (name) => {
      const node = document.getElementById(name);
      const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
      return URL.createObjectURL(new Blob([bytes], { type: node.dataset.type }));
    },
    tool: () => Study.element("button", { type: "button", id: "save-file", onclick: save, title: Study.text("offline_text") }, Study.text("offline_save")),
  };
})();
