// Draws the spectrogram of a clip above its player. The clip is decoded by the browser itself, and
// nothing is drawn before somebody wants to hear it.

const WINDOW = 1024;
const LOWEST_DB = -95;
const HIGHEST_DB = -20;
const MOST_COLUMNS = 1200;

/** Power of two, in place: real and imaginary parts. */
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const angle = (-2 * Math.PI) / size;
    const half = size >> 1;
    for (let k = 0; k < half; k++) {
      const cos = Math.cos(angle * k);
      const sin = Math.sin(angle * k);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const tr = re[j] * cos - im[j] * sin;
        const ti = re[j] * sin + im[j] * cos;
        re[j] = re[i] - tr;
        im[j] = im[i] - ti;
        re[i] += tr;
        im[i] += ti;
      }
    }
  }
}

/** Levels in dB of full scale, column by column: `rows` values each, the lowest frequency first. */
export function analyse(samples, columns, rows) {
  const levels = new Float32Array(columns * rows);
  const bell = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
  const re = new Float32Array(WINDOW);
  const im = new Float32Array(WINDOW);
  const perRow = WINDOW / 2 / rows;
  for (let x = 0; x < columns; x++) {
    const first = Math.round(((x + 0.5) * samples.length) / columns - WINDOW / 2);
    for (let i = 0; i < WINDOW; i++) {
      re[i] = (samples[first + i] || 0) * bell[i];
      im[i] = 0;
    }
    transform(re, im);
    for (let row = 0; row < rows; row++) {
      let power = 0;
      for (let bin = Math.floor(row * perRow); bin < (row + 1) * perRow; bin++) {
        power = Math.max(power, re[bin] * re[bin] + im[bin] * im[bin]);
      }
      levels[x * rows + row] = 10 * Math.log10((power * 16) / (WINDOW * WINDOW) + 1e-12);
    }
  }
  return levels;
}

function shades(element) {
  const style = getComputedStyle(element);
  const colours = [];
  for (let i = 0; i <= 8; i++) {
    const hex = style.getPropertyValue(`--s${i}`).trim().slice(1);
    colours.push([0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  }
  return colours;
}

function paint(canvas, samples) {
  const rows = 128;
  const columns = Math.min(Math.max(Math.round(canvas.clientWidth * devicePixelRatio), 64), MOST_COLUMNS);
  const levels = analyse(samples, columns, rows);
  const colours = shades(canvas);
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let x = 0; x < columns; x++) {
    for (let row = 0; row < rows; row++) {
      const part = (levels[x * rows + row] - LOWEST_DB) / (HIGHEST_DB - LOWEST_DB);
      const at = Math.min(Math.max(part, 0), 0.9999) * 8;
      const [low, high] = [colours[Math.floor(at)], colours[Math.floor(at) + 1]];
      const to = ((rows - 1 - row) * columns + x) * 4;
      for (let c = 0; c < 3; c++) image.data[to + c] = low[c] + (high[c] - low[c]) * (at % 1);
      image.data[to + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Put a picture above a player, once; it shows where the sound is, and a click leads there. */
export async function draw(audio) {
  if (audio.dataset.drawn) return;
  audio.dataset.drawn = "1";
  try {
    const answer = await fetch(audio.src);
    if (!answer.ok) throw new Error(answer.statusText);
    const bytes = await answer.arrayBuffer();
    const decoded = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes);
    const picture = document.createElement("div");
    picture.className = "picture";
    picture.setAttribute("aria-hidden", "true");
    const canvas = document.createElement("canvas");
    const now = document.createElement("i");
    const top = document.createElement("span");
    // The browser has changed the rate to that of its decoder, so the picture ends where that does.
    top.textContent = `${Math.round(decoded.sampleRate / 2000)} kHz`;
    picture.append(canvas, now, top);
    audio.before(picture);
    paint(canvas, decoded.getChannelData(0));
    const still = () => {
      now.style.left = `${(100 * audio.currentTime) / decoded.duration}%`;
    };
    const follow = () => {
      still();
      if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
    };
    audio.addEventListener("play", follow);
    audio.addEventListener("timeupdate", still);
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      audio.currentTime = ((event.clientX - box.left) / box.width) * decoded.duration;
      audio.play();
    });
    follow();
  } catch {
    delete audio.dataset.drawn; // the player works without a picture
  }
}
