"use strict";
// Refreshes the figures while the page is visible and no button of them has the focus.
(() => {
  const figures = document.getElementById("figures");
  const refresh = async () => {
    if (document.hidden || figures.contains(document.activeElement)) return;
    const response = await fetch("/organizer/status", { redirect: "manual" });
    if (!response.ok) return;
    const { html } = await response.json(); // rendered by this server, with every value escaped
    const parsed = new DOMParser().parseFromString(html, "text/html");
    figures.replaceChildren(...parsed.body.childNodes);
  };
  setInterval(() => refresh().catch(() => {}), Number(figures.dataset.refresh));
})();
