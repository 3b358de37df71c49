// Keeps what a person says of the labels on this page, and saves it for `finecl-hf review import`.
"use strict";
(() => {
  const name = document.currentScript.dataset.storage;
  const cards = [...document.querySelectorAll(".card[data-key]")];
  const bench = document.querySelector(".bench");
  const keys = { r: "right", w: "wrong", o: "other", u: "unsure" };
  let verdicts = {};  // key of a label -> {verdict, right_relation}
  let now = -1;
  try {
    const kept = JSON.parse(localStorage.getItem(name));
    if (kept && typeof kept === "object") verdicts = kept;
  } catch (error) { verdicts = {}; }

  function keep() {
    try {
      localStorage.setItem(name, JSON.stringify(verdicts));
    } catch (error) {
      bench.querySelector(".note").textContent = "This browser keeps nothing: save before you leave.";
    }
  }
  function show(card) {
    const found = verdicts[card.dataset.key] || {};
    for (const button of card.querySelectorAll("button[data-verdict]"))
      button.setAttribute("aria-pressed", String(button.dataset.verdict === found.verdict));
    const input = card.querySelector(".right_relation");
    input.hidden = found.verdict !== "other";
    if (document.activeElement !== input) input.value = found.right_relation || "";
    bench.querySelector(".counter").textContent = cards.filter(one => verdicts[one.dataset.key]).length;
  }
  function judge(card, verdict) {
    const key = card.dataset.key, before = verdicts[key];
    if (before && before.verdict === verdict) delete verdicts[key];  // a second press takes it back
    else verdicts[key] = { verdict, right_relation: "" };
    keep();
    show(card);
  }
  function go(place) {
    if (!cards.length) return;
    if (cards[now]) cards[now].classList.remove("now");
    now = Math.max(0, Math.min(place, cards.length - 1));
    cards[now].classList.add("now");
    cards[now].scrollIntoView({ block: "center" });
  }
  function save() {
    const rows = cards.filter(card => verdicts[card.dataset.key]).map(card => ({
      key: card.dataset.key, instance_id: card.dataset.id, stratum: card.dataset.stratum,
      ...verdicts[card.dataset.key],
    }));
    const blob = new Blob([JSON.stringify({ tool: "finecl_hf report", verdicts: rows }, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "verdicts.json";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  cards.forEach((card, place) => {
    card.querySelector(".judge").hidden = false;
    card.addEventListener("click", event => {
      const button = event.target.closest("button[data-verdict]");
      if (!button) return;
      if (cards[now]) cards[now].classList.remove("now");
      now = place;
      card.classList.add("now");
      judge(card, button.dataset.verdict);
    });
    card.querySelector(".right_relation").addEventListener("input", event => {
      verdicts[card.dataset.key] = { verdict: "other", right_relation: event.target.value };
      keep();
    });
    show(card);
  });
  bench.hidden = !cards.length;
  bench.querySelector(".save").addEventListener("click", save);
  bench.querySelector(".clear").addEventListener("click", () => {
    if (!confirm("Forget all verdicts on this page?")) return;
    verdicts = {};
    keep();
    cards.forEach(show);
  });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches && event.target.matches("input, textarea, select")) return;
    const verdict = keys[event.key.toLowerCase()];
    if (verdict && cards[now]) {
      judge(cards[now], verdict);
      if (verdict === "other") cards[now].querySelector(".right_relation").focus({ preventScroll: true });
      else go(now + 1);
    } else if (event.key === "ArrowDown" || event.key === "ArrowRight") go(now + 1);
    else if (event.key === "ArrowUp" || event.key === "ArrowLeft") go(now - 1);
    else if (!verdict) return;
    else go(0);
    event.preventDefault();
  });
})();
