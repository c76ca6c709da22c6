// The page Now, live: the server renders it once, and this goes on from there.

import { connect, stateIn } from "./connection.js";
import { LiveSound } from "./live_sound.js";
import { readColours, Spectrogram } from "./spectrogram.js";

const LOWEST_DB = -72;
const N_ENDED = 12;
const N_TROUBLES = 6;
const SORT_EVERY_MS = 2_000;
const SPEAK_EVERY_MS = 1_000;
const byId = (id) => document.getElementById(id);
const WORDS = JSON.parse(byId("sources").dataset.words); // what a page says of the state of a source
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const sources = new Map(); // name -> Card
const open = new Map(); // source and id of an event -> { event, row }
let skew = 0; // milliseconds that the server's clock is ahead of this one's

class Card {
  constructor(name, element) {
    this.element = element ?? byId("card").content.firstElementChild.cloneNode(true);
    this.name = name;
    this.element.dataset.source = name;
    this.element.setAttribute("aria-label", name);
    this.find("h2").textContent = name;
    this.find(".meter").setAttribute("aria-label", `Level of ${name}`);
    this.picture = new Spectrogram(this.find(".picture"));
    const hear = this.find(".hear");
    this.sound = hear && new LiveSound(hear, name);
    this.order = [];
    this.sortedAt = this.spokenAt = this.drawnAt = -Infinity;
    if (!element) byId("sources").append(this.element);
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  show(source) {
    this.state = source.state;
    if (this.element.dataset.state !== source.state) this.element.dataset.state = source.state;
    write(this.find(".state"), WORDS[source.state]);
    const overload = this.find(".overload");
    overload.hidden = !source.overload;
    if (source.overload) write(overload, `The computer is too slow: it looks every ${source.hop_s} s.`);
    const lastHeard = this.find(".last-heard");
    lastHeard.hidden = ["heard", "silent", "waiting"].includes(source.state);
    write(lastHeard, source.last_heard ? `Last heard at ${clock(source.last_heard)}.` : "Never heard yet.");
    this.sound?.allow(source.may_be_heard);
    this.showLevel(source);
    this.showSounds(source);
    this.picture.mark(source.rate);
  }

  showLevel({ level, peak, muted, clipped, calibration_db: calibration }) {
    const place = (db) => 100 * Math.min(Math.max(1 - db / LOWEST_DB, 0), 1);
    this.find(".rms").setAttribute("width", level === null ? 0 : place(level));
    this.find(".peak").setAttribute("x", peak === null ? -9 : Math.min(place(peak), 99.4));
    if (performance.now() - this.spokenAt < SPEAK_EVERY_MS) return;
    this.spokenAt = performance.now();
    const decibels = () => `${Math.round(level + (calibration ?? 0))} ${calibration === null ? "dB" : "dB SPL"}`;
    const shown = this.find(".db");
    const text = (level === null ? "–" : muted ? shown.dataset.muted : clipped ? "too loud" : decibels()).replace("-", "−");
    write(shown, text);
    const meter = this.find(".meter");
    meter.setAttribute("aria-valuenow", level ?? LOWEST_DB);
    meter.setAttribute("aria-valuetext", level === null ? "no sound" : text);
  }

  showSounds({ sounds, scored, verdict }) {
    const now = performance.now();
    const names = sounds.map((sound) => sound.label);
    if (now - this.sortedAt > SORT_EVERY_MS) {
      this.order = names;
      this.sortedAt = now;
    } else {
      const kept = this.order.filter((label) => names.includes(label));
      this.order = [...kept, ...names.filter((label) => !kept.includes(label))];
    }
    const list = this.find(".sounds");
    while (list.children.length < this.order.length) list.append(byId("sound").content.firstElementChild.cloneNode(true));
    while (list.children.length > this.order.length) list.lastElementChild.remove();
    this.order.forEach((label, at) => {
      const sound = sounds[names.indexOf(label)];
      const row = list.children[at];
      row.classList.toggle("above", sound.above);
      write(row.querySelector(".what"), sound.name);
      row.querySelector("rect").setAttribute("width", scored ? 100 * sound.score : 0);
      row.querySelector(".needed").setAttribute("x", sound.threshold === null ? -9 : Math.min(100 * sound.threshold, 98.5));
      write(row.querySelector(".much"), sound.sureness ?? (scored ? sound.score.toFixed(2) : `${sound.score}`));
      for (const { event } of open.values()) {
        if (event.source === this.name && event.label === label) event.sureness = sound.sureness ?? event.sureness;
      }
    });
    const none = this.find(".none");
    none.hidden = sounds.length > 0 || this.state !== "heard";
    write(none, verdict === "silence" ? "Silence." : "Nothing stands out.");
  }

  draw() {
    const now = performance.now();
    if (document.hidden || (calm.matches && now - this.drawnAt < 1000)) return;
    this.drawnAt = now;
    this.picture.draw();
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function clock(ms) {
  return ms === null ? "" : new Date(ms).toLocaleTimeString("en-GB");
}

function lasting(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function length(seconds) {
  if (seconds === null) return "";
  return seconds < 1 ? `${seconds.toFixed(2)} s` : seconds < 60 ? `${seconds.toFixed(1)} s` : lasting(seconds);
}

/** How sure an event is, in front of what follows; nothing where its model has no words. */
const sure = (event) => (event.sureness ? `${event.sureness} · ` : "");
const keyOf = (event) => JSON.stringify([event.source, event.id]);

function begin(event) {
  if (open.has(keyOf(event))) return;
  const row = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = event.name;
  const rest = document.createElement("span");
  rest.className = "quiet";
  row.append(name, " ", rest);
  byId("sounding").append(row);
  open.set(keyOf(event), { event, rest, row });
  count();
}

function end(event) {
  open.get(keyOf(event))?.row.remove();
  open.delete(keyOf(event));
  count();
}

/** Counts up how long each sound has lasted. */
function count() {
  byId("silent").hidden = open.size > 0;
  write(byId("silent"), sources.size ? "No sound that has a name." : "Nothing is listened to.");
  if (document.hidden) return;
  for (const { event, rest } of open.values()) {
    const heard = sources.get(event.source)?.state !== "lost" && sources.get(event.source)?.state !== "late";
    const since = event.onset === null ? "" : `for ${lasting((Date.now() + skew - event.onset) / 1000)} · `;
    write(rest, `${sure(event)}${heard ? `${since}${event.source}` : `until ${event.source} was lost`}`);
  }
}

function line(list, when, what, how, most) {
  const row = byId("line").content.firstElementChild.cloneNode(true);
  row.querySelector(".when").textContent = clock(when);
  row.querySelector(".what").textContent = what;
  row.querySelector(".how").textContent = how;
  list.prepend(row);
  while (list.children.length > most) list.lastElementChild.remove();
  list.nextElementSibling.hidden = true;
}

function listEnded(event) {
  line(byId("ended"), event.onset, event.name, `${sure(event)}${event.cut ? "cut off" : length(event.length_s)} · ${event.source}`, N_ENDED);
}

function listTrouble(trouble) {
  const what = trouble.kind === "gap" ? `${length(trouble.length_s)} lost: ${trouble.why}` : trouble.message;
  line(byId("troubles"), trouble.at, what, trouble.source, N_TROUBLES);
}

function reset(snapshot) {
  skew = snapshot.now - Date.now();
  const names = new Set(snapshot.sources.map((source) => source.source));
  for (const name of sources.keys()) if (!names.has(name)) remove(name);
  for (const { row } of open.values()) row.remove();
  open.clear();
  byId("sounding").replaceChildren();
  for (const source of snapshot.sources) {
    const card = cardOf(source.source);
    card.picture.clear();
    card.show(source);
    card.draw();
    source.open.forEach(begin);
  }
  for (const [id, entries, list] of [["ended", snapshot.ended, listEnded], ["troubles", snapshot.troubles, listTrouble]]) {
    byId(id).replaceChildren();
    byId(id).nextElementSibling.hidden = entries.length > 0;
    [...entries].reverse().forEach(list);
  }
  count();
}

function cardOf(name) {
  if (!sources.has(name)) sources.set(name, new Card(name));
  return sources.get(name);
}

function remove(name) {
  sources.get(name)?.sound?.stop();
  sources.get(name)?.element.remove();
  sources.delete(name);
}

/** Says what to look after beside the sources; each leads to the page Health. */
function showTroubles({ texts }) {
  const place = byId("process-troubles");
  if ([...place.children].map((each) => each.textContent).join("\n") === texts.join("\n")) return;
  place.replaceChildren(
    ...texts.map((text) => {
      const trouble = document.createElement("p");
      const way = document.createElement("a");
      trouble.className = "trouble";
      way.href = place.dataset.health;
      way.textContent = text;
      trouble.append(way);
      return trouble;
    }),
  );
}

const handlers = {
  reset,
  troubles: showTroubles,
  pictures(pictures) {
    for (const [name, columns] of Object.entries(pictures)) {
      const card = sources.get(name);
      if (!card) continue;
      card.picture.add(columns);
      card.draw();
    }
  },
  frames({ now, sources: frames }) {
    skew = now - Date.now();
    for (const frame of frames) {
      const card = sources.get(frame.source);
      if (!card) continue;
      card.picture.add(frame);
      if (document.hidden) continue;
      card.show(frame);
      card.draw();
    }
  },
  began(event) {
    begin(event);
    byId("told").textContent = `${event.name} began, ${event.sureness ? `${event.sureness}, ` : ""}${event.source}`;
  },
  ended(event) {
    end(event);
    listEnded(event);
  },
  gap: (gap) => listTrouble({ kind: "gap", ...gap }),
  notice: (notice) => listTrouble({ kind: "notice", ...notice }),
  source({ source }) {
    // A source that begins anew counts its columns anew.
    cardOf(source).picture.clear();
    count();
  },
  gone({ source }) {
    remove(source);
    count();
  },
};

readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  for (const card of sources.values()) card.draw();
});
for (const element of document.querySelectorAll("#sources > [data-source]")) {
  sources.set(element.dataset.source, new Card(element.dataset.source, element));
}
setInterval(count, 1000);
const connection = byId("connection");
connect(connection.dataset.live, handlers, stateIn(connection));
