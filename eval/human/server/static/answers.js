"use strict";
// Controls for the kinds of answers: choice, rating, mushra, ranking. Each returns { node, key, answer, set }.
(() => {
  const Study = window.Study;
  const { element, text } = Study;

  Study.sideName = (index, count) => {
    if (count === 1) return "";
    return count === 2 ? text(index === 0 ? "side_left" : "side_right") : String.fromCharCode(65 + index);
  };

  // axis: texts; count: clips; changed: called after every change; listen: hear a clip.
  Study.answerControl = (axis, count, { changed, listen }) => {
    const kinds = { choice, rating, mushra, ranking };
    return kinds[axis.answer](axis, count, changed, listen);
  };

  // Buttons of which one is pressed; digits press them.
  function buttons(axis, entries, name, changed) {
    let chosen = null;
    const nodes = entries.map(([value, label], index) =>
      element(
        "button",
        { type: "button", class: "option", "aria-pressed": "false", "data-value": value, onclick: () => press(value) },
        element("kbd", {}, String(index + 1)),
        element("span", {}, label),
      ),
    );
    const press = (value) => {
      chosen = value;
      nodes.forEach((node, index) => node.setAttribute("aria-pressed", String(entries[index][0] === value)));
      changed();
    };
    return {
      node: element("div", { class: `options ${axis.answer}`, role: "group", "aria-label": axis.question }, nodes),
      key: (digit) => {
        if (!entries[digit - 1] || nodes[0].disabled) return false;
        press(entries[digit - 1][0]);
        return true;
      },
      answer: () => (chosen === null ? null : { [name]: chosen }),
      set: (answer) => press(answer[name]),
      enable: (on) => nodes.forEach((node) => (node.disabled = !on)),
    };
  }

  function choice(axis, count, changed) {
    const entries = ["left", "equal", "right"].map((value) => [value, axis.options[value] || value]);
    return buttons(axis, entries, "choice", changed);
  }

  function rating(axis, count, changed) {
    const entries = [1, 2, 3, 4, 5].map((value) => [value, axis.options[String(value)] || String(value)]);
    return buttons(axis, entries, "rating", changed);
  }

  // A slider from 0 to 100 for each clip; all have to be moved once.
  function mushra(axis, count, changed, listen) {
    const moved = new Set();
    const rows = Array.from({ length: count }, (_, index) => {
      const shown = element("output", {}, "–");
      const slider = element("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": Study.sideName(index, count) });
      slider.value = 50;
      slider.addEventListener("focus", () => listen(index));
      slider.addEventListener("input", () => {
        moved.add(index);
        shown.textContent = slider.value;
        changed();
      });
      return { slider, shown, node: element("label", { class: "slider" }, element("span", {}, Study.sideName(index, count)), slider, shown) };
    });
    return {
      node: element("div", { class: "options mushra", role: "group", "aria-label": axis.question }, rows.map((row) => row.node)),
      key: (digit) => {
        if (!rows[digit - 1] || rows[0].slider.disabled) return false;
        rows[digit - 1].slider.focus();
        return true;
      },
      answer: () => (moved.size === count ? { ratings: rows.map(({ slider }) => Number(slider.value)) } : null),
      set: (answer) =>
        answer.ratings.forEach((value, index) => {
          rows[index].slider.value = value;
          rows[index].slider.dispatchEvent(new Event("input"));
        }),
      enable: (on) => rows.forEach(({ slider }) => (slider.disabled = !on)),
    };
  }

  // A list from best to worst; a digit hears a clip, its buttons move it.
  function ranking(axis, count, changed, listen) {
    let order = Array.from({ length: count }, (_, index) => index);
    let touched = false;
    let enabled = true;
    const list = element("ol", { class: "ranking" });
    const move = (index, by) => {
      const at = order.indexOf(index);
      const to = at + by;
      touched = true;
      if (to >= 0 && to < count) [order[at], order[to]] = [order[to], order[at]];
      draw(index);
      changed();
    };
    const draw = (focus = -1) => {
      list.replaceChildren(
        ...order.map((index) => {
          const side = Study.sideName(index, count);
          const arrow = (by, key, sign) =>
            element(
              "button",
              { type: "button", "aria-label": text(key, { side }), disabled: !enabled, onclick: () => move(index, by) },
              sign,
            );
          const row = element("li", { "data-clip": index }, element("span", {}, side), arrow(-1, "rank_up", "▲"), arrow(1, "rank_down", "▼"));
          if (index === focus) queueMicrotask(() => row.querySelector("button").focus());
          return row;
        }),
      );
    };
    draw();
    return {
      node: element(
        "div",
        { class: "options", role: "group", "aria-label": axis.question },
        element("p", { class: "hint" }, `${text("rank_first")} ↑ ↓ ${text("rank_last")}`),
        list,
      ),
      key: (digit) => {
        if (digit > count || !enabled) return false;
        listen(digit - 1);
        list.querySelector(`[data-clip="${digit - 1}"] button`).focus();
        return true;
      },
      answer: () => (touched ? { ranking: [...order] } : null),
      set: (answer) => {
        order = [...answer.ranking];
        touched = true;
        draw();
        changed();
      },
      enable: (on) => {
        enabled = on;
        draw();
      },
    };
  }
})();
