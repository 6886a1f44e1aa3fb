"use strict";
// Requests to the server. An offline file has another backend with the same functions.
(() => {
  const Study = window.Study;
  const TIMEOUT_MS = 20000;

  const post = async (path, body) => {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return response.json();
    let reason = response.statusText;
    try {
      reason = (await response.json()).error || reason;
    } catch {
      // An error page of a proxy.
    }
    const error = new Error(reason);
    error.status = response.status;
    error.permanent = response.status >= 400 && response.status < 500 && ![408, 425, 429].includes(response.status);
    throw error;
  };

  // Repeat a request that changes nothing when repeated, until there is an answer.
  const insist = async (path, body) => {
    for (let wait = 400; ; wait = Math.min(wait * 2, 8000)) {
      try {
        const answer = await post(path, body);
        Study.clearStatus("waiting");
        return answer;
      } catch (error) {
        if (error.permanent) throw error;
        Study.status("waiting", Study.text("waiting"));
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  };

  Study.backend = {
    offline: false,
    texts: async () => (await fetch("/strings.json")).json(),
    join: (token, language) => insist("/api/join", { token, language }),
    state: (client, take) => insist("/api/state", { client, take }),
    consent: (language) => insist("/api/consent", { language }),
    language: (language) => insist("/api/language", { language }),
    check: (check, result) => insist("/api/check", { check, result }),
    instructions: (axis) => insist("/api/instructions", { axis }),
    task: (position) => insist("/api/task", { position }),
    leave: () => insist("/api/leave", {}),
    vote: (vote) => post("/api/vote", vote),
    media: loadMedia,
  };

  // Load a file whole before it is played: then neither seeking nor a slow network can part the two sides.
  // A connection that breaks is taken up where it stopped.
  async function loadMedia(url, { onprogress, signal } = {}) {
    const parts = [];
    let received = 0;
    let total = null;
    let type = "";
    for (let failures = 0; total === null || received < total; ) {
      try {
        const headers = received ? { range: `bytes=${received}-` } : {};
        const response = await fetch(url, { headers, signal, credentials: "same-origin" });
        if (response.status >= 400 && response.status < 500) throw Object.assign(new Error("media"), { permanent: true });
        if (!response.ok) throw new Error("media");
        if (received && response.status !== 206) {
          parts.length = 0;
          received = 0;
        }
        type = response.headers.get("content-type");
        total = received + Number(response.headers.get("content-length"));
        const reader = response.body.getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          parts.push(value);
          received += value.length;
          failures = 0;
          if (onprogress) onprogress(received / total);
        }
      } catch (error) {
        if (error.permanent || error.name === "AbortError") throw error;
        failures += 1;
        Study.status("waiting", Study.text("waiting"));
        await new Promise((resolve) => setTimeout(resolve, Math.min(300 * 2 ** failures, 5000)));
      }
    }
    Study.clearStatus("waiting");
    return URL.createObjectURL(new Blob(parts, { type }));
  }
})();
