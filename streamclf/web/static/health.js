// The page Health, live: texts come from the server, and replace those that have changed.

import { connect, stateIn } from "./connection.js";

const texts = new Map(
  [...document.querySelectorAll("[data-key]")].map((element) => [element.dataset.key, element]),
);

function differ(kind, states) {
  const shown = [...document.querySelectorAll(`[data-${kind}]`)].map((each) => each.dataset[kind]);
  return shown.sort().join("\n") !== Object.keys(states).sort().join("\n");
}

function show(said) {
  if (differ("source", said.states) || differ("target", said.targets)) {
    location.reload(); // there are others now, which the server renders
    return;
  }
  const verdict = document.getElementById("verdict");
  if (verdict.textContent !== said.verdict) verdict.textContent = said.verdict;
  for (const [key, text] of Object.entries(said.texts)) {
    const element = texts.get(key);
    if (element && element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll("[data-source]")) {
    element.dataset.state = said.states[element.dataset.source] ?? "ended";
  }
  for (const element of document.querySelectorAll("[data-target]")) {
    element.dataset.state = said.targets[element.dataset.target] ?? "fine";
  }
  const troubles = document.getElementById("troubles");
  if ([...troubles.children].map((each) => each.textContent).join("\n") === said.troubles.join("\n")) return;
  troubles.replaceChildren(
    ...said.troubles.map((text) => {
      const trouble = document.createElement("p");
      trouble.className = "trouble";
      trouble.textContent = text;
      return trouble;
    }),
  );
}

const connection = document.getElementById("connection");
connect(`${connection.dataset.live}?of=health`, { health: show }, stateIn(connection));
