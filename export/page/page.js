"use strict";
const model = loaded("model");
const [, HEIGHT, WIDTH] = model.input;
const canvas = document.getElementById("seen");
const context = canvas.getContext("2d", { willReadFrequently: true });
const video = document.getElementById("video");
canvas.width = WIDTH;
canvas.height = HEIGHT;
context.imageSmoothingQuality = "high";
window.rfcalc = { logits: (pixels) => logits(model, pixels) };

// Scaled until the shorter side fits, the middle of the longer one kept; `crop` cuts a margin, as in training.
function show(source, width, height) {
  const scale = Math.min(width / WIDTH, height / HEIGHT) * model.crop;
  const [w, h] = [WIDTH * scale, HEIGHT * scale];
  context.drawImage(source, (width - w) / 2, (height - h) / 2, w, h, 0, 0, WIDTH, HEIGHT);
  const begun = performance.now();
  const shares = softmax(logits(model, context.getImageData(0, 0, WIDTH, HEIGHT).data));
  const milliseconds = performance.now() - begun;
  const order = shares.map((share, number) => [share, number]).sort((a, b) => b[0] - a[0]).slice(0, 5);
  const rows = order.map(([share, number]) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    const bar = document.createElement("meter");
    name.textContent = `${model.classes[number]} ${(100 * share).toFixed(1)} %`;
    bar.value = share;
    row.append(name, bar);
    return row;
  });
  document.getElementById("answer").replaceChildren(...rows);
  document.getElementById("time").textContent = `${milliseconds.toFixed(0)} ms`;
}

async function read(file) {
  const say = document.getElementById("problem");
  say.textContent = "";
  try {
    const picture = await createImageBitmap(file);
    show(picture, picture.width, picture.height);
    picture.close();
  } catch {
    say.textContent = `${file.name || "this"} is no picture that the browser reads`;
  }
}

document.getElementById("file").addEventListener("change", (event) => {
  if (event.target.files.length) read(event.target.files[0]);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
});
document.getElementById("camera").addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
    const next = () => {
      if (video.videoWidth) show(video, video.videoWidth, video.videoHeight);
      if (video.srcObject) setTimeout(() => requestAnimationFrame(next), 100);
    };
    next();
  } catch (error) {
    document.getElementById("problem").textContent = `no camera: ${error.message || error.name}`;
  }
});
