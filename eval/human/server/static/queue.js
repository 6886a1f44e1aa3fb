"use strict";
// Answers on their way to the server. They are in localStorage until the server said that they are stored, so a
// lost connection, a killed server or a closed tab loses none; each has a key, so none is stored twice.
(() => {
  const Study = window.Study;
  const NAME = "study-queue";
  const RETRY_MS = [300, 700, 1500, 3000, 5000, 10000];

  const load = () => {
    try {
      return JSON.parse(localStorage.getItem(NAME) || "[]");
    } catch {
      return [];
    }
  };
  const store = (entries) => {
    memory = entries;
    try {
      localStorage.setItem(NAME, JSON.stringify(entries));
    } catch {
      // Private windows may have no storage: the answer stays in memory until it is saved.
    }
  };
  let memory = load();

  // Send one answer until the server has it. Resolves with the server's response; rejects if it refuses the answer.
  Study.submit = async (rater, vote) => {
    const entry = { rater, vote };
    store([...memory, entry]);
    return deliver(entry);
  };

  // Send what a former page left behind; returns how many answers that were.
  Study.flush = async (rater) => {
    memory = load();
    const entries = memory.filter((each) => each.rater === rater);
    for (const entry of entries) {
      try {
        await deliver(entry);
      } catch {
        // Refused for good: the task is shown again and the rater answers it again.
      }
    }
    return entries.length;
  };

  const deliver = async (entry) => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const result = await Study.backend.vote(entry.vote);
        remove(entry);
        return result;
      } catch (error) {
        if (error.permanent) {
          remove(entry);
          throw error;
        }
        Study.status("waiting", Study.text("waiting"));
        await pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
      }
    }
  };
  const remove = (entry) => store(memory.filter((each) => each.vote.key !== entry.vote.key));

  // Wait, or less if the browser says that the connection is back.
  const pause = (ms) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener("online", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      addEventListener("online", done);
    });
})();
