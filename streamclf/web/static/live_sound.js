// Plays the sound of a source while it is heard. Without this script its link plays it as well.

const ADDRESS = "source=";
const LATE_S = 4; // behind what has come, after a connection that stood still
const FAST = 1.08; // until it has caught up

let playing = null;

export class LiveSound {
  /** @param {HTMLElement} place holds the link, @param {string} name of the source */
  constructor(place, name) {
    this.place = place;
    this.link = place.querySelector("a");
    this.word = place.querySelector(".word");
    this.name = name;
    this.audio = null;
    this.address = this.link.href.split("?")[0] + "?" + ADDRESS + encodeURIComponent(name);
    this.link.href = this.address;
    place.querySelector(".unseen").textContent = ` to ${name}`;
    this.link.setAttribute("role", "button");
    this.link.setAttribute("aria-pressed", "false");
    this.link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.audio ? this.stop() : this.start();
    });
    this.link.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      this.link.click();
    });
  }

  /** Whether anybody may listen; it can change while somebody does. */
  allow(may) {
    if (this.place.hidden === !may) return;
    this.place.hidden = !may;
    if (!may) this.stop();
  }

  start() {
    playing?.stop();
    playing = this;
    this.audio = new Audio();
    this.audio.addEventListener("playing", () => this.show("Stop listening", true));
    this.audio.addEventListener("waiting", () => this.show("Waiting for sound …", true));
    for (const end of ["error", "ended", "pause"]) this.audio.addEventListener(end, () => this.stop());
    this.audio.addEventListener("timeupdate", () => this.keepUp());
    this.audio.src = this.address;
    this.place.append(this.audio);
    this.show("Waiting for sound …", true);
    this.audio.play().catch(() => this.stop());
    if ("mediaSession" in navigator) {
      navigator.mediaSession.metadata = new MediaMetadata({ title: this.name, artist: "streamclf" });
    }
  }

  stop() {
    if (!this.audio) return;
    const audio = this.audio;
    this.audio = null;
    if (playing === this) playing = null;
    audio.removeAttribute("src"); // which ends the connection, so that nothing is encoded for it
    audio.load();
    audio.remove();
    this.show("Listen live", false);
  }

  /** Plays a little faster while more has come than is needed. */
  keepUp() {
    const { buffered, currentTime } = this.audio ?? {};
    if (!buffered?.length) return;
    const late = buffered.end(buffered.length - 1) - currentTime;
    if (late > LATE_S) this.audio.playbackRate = FAST;
    else if (late < LATE_S / 2) this.audio.playbackRate = 1;
  }

  show(word, pressed) {
    this.word.textContent = word;
    this.link.setAttribute("aria-pressed", pressed);
  }
}
