// Makes lists of events quicker: reviews without a new page, keys, pictures beside the sound. All of
// it works without this script as well, by forms.

import { showPicture } from "./clip_picture.js";

const form = document.getElementById("acts");
const said = document.getElementById("said");
const actions = document.getElementById("actions");
const rows = () => [...document.querySelectorAll(".event")];
const csrf = form.querySelector('[name="csrf"]').value;

function say(text, trouble = false) {
  const line = document.createElement("p");
  line.className = trouble ? "trouble" : "said";
  line.textContent = text;
  said.replaceChildren(line);
}

async function post(row, what, body) {
  const answer = await fetch(`${form.dataset.api}/${row.dataset.event}/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body ?? {}),
  });
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function tag(text, kind) {
  const made = document.createElement("span");
  made.className = `tag ${kind}`;
  made.textContent = text;
  return made;
}

/** Show an event as the store has it now. */
function show(row, event) {
  const number = row.dataset.event;
  row.classList.remove("right", "wrong");
  if (event.verdict) row.classList.add(event.verdict);
  for (const act of ["right", "wrong"]) {
    const button = row.querySelector(`[data-act="${act}"]`);
    const pressed = event.verdict === act;
    button.setAttribute("aria-pressed", pressed);
    button.value = `${pressed ? "none" : act}:${number}`;
  }
  const kept = Boolean(event.clip?.kept);
  const keep = row.querySelector('[data-act="keep"]');
  if (keep) {
    keep.setAttribute("aria-pressed", kept);
    keep.value = `${kept ? "free" : "keep"}:${number}`;
  }
  const tags = [];
  if (event.state === "open") tags.push(tag("sounds now", "warm"));
  if (event.said) {
    const teach = document.createElement("a");
    teach.className = "tag";
    teach.href = `${form.dataset.teach}?name=${encodeURIComponent(event.said_name)}`;
    teach.textContent = "teach it";
    tags.push(tag(`it was ${event.said_name}`, "bad"), teach);
  } else if (event.verdict) tags.push(tag(event.verdict, event.verdict === "right" ? "good" : "bad"));
  if (kept) tags.push(tag("kept", ""));
  row.querySelector(".tags").replaceChildren(...tags);
  if (event.clip && !event.clip.there) {
    const gone = document.createElement("p");
    gone.className = "quiet small";
    gone.textContent = form.dataset.deleted;
    row.querySelector(".sound").replaceChildren(gone);
    row.querySelector(".sheet .row.files")?.remove();
  }
}

async function act(row, word, label) {
  try {
    if (word === "keep" || word === "free") {
      show(row, (await post(row, "keep", { kept: word === "keep" })).event);
    } else if (word === "delete") {
      const told = await post(row, "delete");
      show(row, told.event);
      if (told.result === "kept") say("This sound is marked to be kept: press Keep again first.", true);
    } else {
      const verdict = { right: "right", wrong: "wrong", was: "wrong" }[word] ?? null;
      show(row, (await post(row, "review", { verdict, ...(label ? { label } : {}) })).event);
    }
    said.replaceChildren();
    return true;
  } catch (error) {
    say(`This did not work: ${error.message}`, true);
    return false;
  }
}

const wants = (n) => confirm(n === 1 ? "Delete this sound? What was heard stays in the list." : `Delete ${n} sounds? What was heard stays in the list.`);

document.addEventListener("submit", async (event) => {
  const row = event.target.closest?.(".event");
  if (event.target.classList.contains("was") && row) {
    event.preventDefault();
    const input = event.target.elements.label;
    if (await act(row, "was", input.value.trim())) {
      row.querySelector(".more").open = false;
      row.focus();
    }
    return;
  }
  if (event.target !== form || !event.submitter) return;
  event.preventDefault();
  const [word, number] = event.submitter.value.split(":");
  const chosen = number
    ? [document.getElementById(`event-${number}`)]
    : rows().filter((each) => each.querySelector('[name="id"]')?.checked);
  if (!word || !chosen.length) return;
  if (word === "delete" && !wants(chosen.length)) return;
  for (const each of chosen) if (!(await act(each, word))) return;
  if (!number) {
    for (const each of chosen) each.querySelector('[name="id"]').checked = false;
    say(`${chosen.length} of ${rows().length} events changed.`);
    count();
  }
});

/** Show the bar of actions only while something is chosen. */
function count() {
  if (!actions) return;
  const n = document.querySelectorAll('.event [name="id"]:checked').length;
  actions.hidden = !n;
  actions.querySelector(".count").textContent = n === 1 ? "1 chosen" : `${n} chosen`;
}
document.addEventListener("change", (event) => event.target.name === "id" && count());
count();

document.addEventListener(
  "play",
  (event) => {
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
    showPicture(event.target);
  },
  true,
);

function current() {
  return document.activeElement?.closest?.(".event");
}

function go(step) {
  const all = rows();
  const at = all.indexOf(current());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
}

const KEYS = {
  j: () => go(1),
  k: () => go(-1),
  " ": (row) => {
    const audio = row.querySelector("audio");
    if (audio) audio.paused ? audio.play() : audio.pause();
  },
  y: (row) => row.querySelector('[data-act="right"]').click(),
  n: (row) => row.querySelector('[data-act="wrong"]').click(),
  s: (row) => row.querySelector('[data-act="keep"]')?.click(),
  x: (row) => row.querySelector('[name="id"]')?.click(),
  w: (row) => {
    row.querySelector(".more").open = true;
    row.querySelector(".was input:not([type=hidden])").focus();
  },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  const pressing = event.key === " " && event.target.matches("button, summary, a, audio, input");
  if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  const row = current();
  if (!row && !"jk".includes(event.key)) return;
  event.preventDefault();
  KEYS[event.key](row);
});

for (const each of document.querySelectorAll(".keys")) each.hidden = false;
