// Shows the picture of a clip above its player, with the place that is heard; a click leads there.

/** Put the picture above a player, once. */
export function showPicture(audio) {
  const link = audio.dataset.picture;
  if (!link || audio.previousElementSibling?.className === "clip-picture") return;
  const frame = document.createElement("div");
  frame.className = "clip-picture";
  frame.setAttribute("aria-hidden", "true");
  const image = document.createElement("img");
  image.alt = "";
  image.src = matchMedia("(prefers-color-scheme: dark)").matches ? link : `${link}?light=1`;
  image.addEventListener("error", () => frame.remove()); // the player works without it
  const now = document.createElement("i");
  frame.append(image, now);
  audio.before(frame);
  const still = () => {
    if (audio.duration) now.style.left = `${(100 * audio.currentTime) / audio.duration}%`;
  };
  const follow = () => {
    still();
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", follow);
  audio.addEventListener("timeupdate", still);
  frame.addEventListener("click", (event) => {
    const box = frame.getBoundingClientRect();
    if (audio.duration) audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration;
    audio.play();
  });
  follow();
}
