"use strict";
// Pages without clips: consent, instructions, the end, messages.
(() => {
  const Study = window.Study;
  const { element, text, paragraphs } = Study;

  const primary = (key, onclick, extra = {}) => element("button", { type: "button", class: "primary", onclick, ...extra }, text(key));

  Study.consentPage = (state, agreed) =>
    Study.show(
      "text",
      element("h2", {}, text("consent_title")),
      paragraphs(text("consent_text")),
      state.contact && element("p", {}, `${text("contact")}: ${state.contact}`),
      element("p", {}, `${text("your_code")}: `, element("code", {}, state.rater)),
      element("p", {}, primary("agree", agreed, { id: "agree" })),
    );

  Study.instructionsPage = (state, read) =>
    Study.show(
      "text",
      element("p", { class: "over" }, text("instructions_title")),
      element("h2", {}, state.axis.name),
      state.again && element("p", { class: "hint" }, text("instructions_again")),
      element("p", { class: "question" }, state.axis.question),
      paragraphs(state.axis.instructions),
      state.axis.examples.length > 0 && [
        element("h3", {}, text("instructions_examples")),
        element("ul", {}, [...new Set(state.axis.examples)].map((example) => element("li", {}, example))),
      ],
      element("details", {}, element("summary", {}, text("keys_title")), Study.keyList(state.axis)),
      element("p", {}, primary("continue", read, { id: "read" })),
    );

  Study.keyList = (axis) => {
    const keys = [
      ["Space", "keys_play"],
      ["← →", "keys_seek"],
      [", .", "keys_frame"],
      ["Home", "keys_restart"],
      ["L", "keys_loop"],
      axis.audible && ["S", "keys_audio"],
      ["1 2 3", "keys_answer"],
      axis.marks && ["M", "keys_mark"],
      ["Enter", "keys_save"],
      ["B", "keys_back"],
      ["?", "keys_help"],
    ];
    return element("dl", { class: "keys" }, keys.filter(Boolean).map(([key, name]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text(name))]));
  };

  Study.endPage = (state) => {
    const mturk = state.mturk && state.mturk.url;
    const form =
      mturk &&
      element(
        "form",
        { method: "post", action: state.mturk.url },
        element("input", { type: "hidden", name: "assignmentId", value: state.mturk.assignmentId }),
        element("input", { type: "hidden", name: "code", value: state.mturk.code }),
        element("button", { class: "primary" }, text("code_button")),
      );
    Study.show(
      "text",
      element("h2", {}, text(`${state.page}_title`)),
      element("p", {}, text(`${state.page}_text`)),
      state.code && element("p", {}, text("code_text"), " ", element("code", { id: "code" }, state.code)),
      state.code_url && element("p", {}, element("a", { class: "primary", href: state.code_url }, text("code_button"))),
      form,
      element("p", { class: "hint" }, `${text("your_code")}: ${state.rater}`),
    );
  };

  Study.messagePage = (name, ...extra) =>
    Study.show("text", element("h2", {}, text(`${name}_title`)), element("p", {}, text(`${name}_text`)), ...extra);

  // A window over the page; Escape closes it.
  Study.dialog = (title, ...children) => {
    const dialog = element(
      "dialog",
      { "aria-label": title },
      element("h2", {}, title),
      ...children,
      element("p", {}, element("button", { type: "button", class: "primary", onclick: () => dialog.close() }, text("close"))),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  };
})();
