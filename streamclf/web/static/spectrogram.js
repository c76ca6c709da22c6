// The moving picture of a source: loudness of 64 bands, ten columns a second.

const N_BANDS = 64;
const N_COLUMNS = 300;
const N_SHADES = 9;
const LOWEST_HZ = 50;
const MARKS = [500, 2000, 5000, 10000];
const shades = new Uint32Array(256);
let lost = 0;

/** Takes the colours of the stylesheet, which are in order of lightness for every kind of eye. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const steps = Array.from({ length: N_SHADES }, (_, i) => rgb(style.getPropertyValue(`--s${i}`)));
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (N_SHADES - 1);
    const at = Math.min(Math.floor(place), N_SHADES - 2);
    shades[value] = pack(steps[at].map((from, i) => from + (place - at) * (steps[at + 1][i] - from)));
  }
  lost = pack(rgb(style.getPropertyValue("--deaf")));
}

function rgb(text) {
  const digits = text.trim().slice(1);
  return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16) || 0);
}

function pack([red, green, blue]) {
  const bytes = new Uint8ClampedArray([red, green, blue, 255]);
  return new Uint32Array(bytes.buffer)[0];
}

/** A picture in a canvas, with a scale of frequencies beside it. */
export class Spectrogram {
  constructor(figure) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.scale = figure.querySelector(".scale");
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(N_COLUMNS, N_BANDS);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.columns = new Array(N_COLUMNS).fill(null);
    this.newest = -1;
    this.rate = 0;
  }

  /** Takes columns as the server packs them. */
  add({ runs, bands, missing }) {
    const bytes = Uint8Array.from(atob(bands), (letter) => letter.charCodeAt(0));
    const gaps = new Set(missing);
    let at = 0;
    for (const [first, length] of runs) {
      for (let number = first; number < first + length; number++, at += N_BANDS) {
        const levels = bytes.subarray(at, at + N_BANDS);
        this.columns[number % N_COLUMNS] = { number, levels, missing: gaps.has(number) };
        this.newest = Math.max(this.newest, number);
      }
    }
  }

  /** Forgets everything: another run counts its columns anew. */
  clear() {
    this.columns.fill(null);
    this.newest = -1;
  }

  draw() {
    this.figure.hidden = this.newest < 0;
    for (let x = 0; x < N_COLUMNS; x++) {
      const number = this.newest - (N_COLUMNS - 1) + x;
      const column = number < 0 ? null : this.columns[number % N_COLUMNS];
      const known = column !== null && column.number === number;
      for (let band = 0; band < N_BANDS; band++) {
        const y = N_BANDS - 1 - band;
        let colour = shades[0];
        if (known && column.missing) colour = (number + y) % 6 < 2 ? lost : shades[0];
        else if (known) colour = shades[column.levels[band]];
        this.pixels[y * N_COLUMNS + x] = colour;
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  /** Writes frequencies at their heights. */
  mark(rate) {
    if (!rate || rate === this.rate) return;
    this.rate = rate;
    const mel = (hz) => 2595 * Math.log10(1 + hz / 700);
    const height = (hz) => (mel(hz) - mel(LOWEST_HZ)) / (mel(rate / 2) - mel(LOWEST_HZ));
    this.scale.replaceChildren(
      ...MARKS.filter((hz) => height(hz) > 0.05 && height(hz) < 0.95).map((hz) => {
        const mark = document.createElement("span");
        mark.textContent = hz >= 1000 ? `${hz / 1000} kHz` : `${hz} Hz`;
        mark.style.bottom = `${100 * height(hz)}%`;
        return mark;
      }),
    );
  }
}
