"use strict";
// Everything that comes from outside (names of files and classes, problems) goes into the page as text.
const $ = (id) => document.getElementById(id);
let model = null;
let stream = null;
let last = Promise.resolve(); // pictures are sent one after the other

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function say(text, wrong) {
  $("message").textContent = text;
  $("message").className = wrong ? "wrong" : "";
}

async function asked(path, body, type) {
  let answer;
  try {
    answer = await fetch(path, {method: "POST", body, headers: {"Content-Type": type}});
  } catch (error) {
    throw new Error("The service cannot be reached.");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail);
  return found;
}

function bars(top) {
  const list = element("dl", undefined, "bars");
  for (const each of top) {
    const track = element("dd", undefined, "track");
    const bar = element("span");
    bar.style.width = (100 * each.probability).toFixed(2) + "%";
    track.append(bar);
    track.setAttribute("aria-hidden", "true");
    list.append(element("dt", each.class), track, element("dd", (100 * each.probability).toFixed(1) + " %"));
  }
  return list;
}

// A card for a picture at once, its answer as soon as it is there.
function show(title, picture, body, type) {
  const card = element("li");
  const left = element("div");
  const right = element("div");
  if (picture) {
    const image = element("img");
    image.src = URL.createObjectURL(picture);
    image.alt = title;
    left.append(image);
  }
  right.append(element("h2", title), element("p", "waiting", "note"));
  card.append(left, right);
  $("results").prepend(card);
  last = last.then(async () => {
    try {
      const found = await asked("/v1/predict", body, type);
      right.lastChild.replaceWith(bars(found.top));
      right.append(element("p", `${found.milliseconds} ms, ${found.model.name} ${found.model.version}`, "note"));
      if (model && model.explains) right.append(explainer(left, body, type));
      say(`${title}: ${found.class}, ${(100 * found.probability).toFixed(1)} %`);
    } catch (error) {
      right.lastChild.replaceWith(element("p", error.message, "wrong"));
      say(`${title}: ${error.message}`, true);
    }
  });
}

function explainer(left, body, type) {
  const button = element("button", "Where did it look?");
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    try {
      const found = await asked("/v1/predict?explain=1", body, type);
      const canvas = await heat(found);
      left.replaceChildren(canvas, element("p", legend(found), "note"));
      button.remove();
    } catch (error) {
      button.disabled = false;
      say(error.message, true);
    }
  };
  return button;
}

function legend(found) {
  let text = `Covering what is red makes "${found.class}" less likely; covering what is blue, likelier.`;
  if (model && model.receptive_field) {
    const [height, width] = model.receptive_field;
    text += ` The frame is what one unit of the last map can see: ${width}x${height} of the input's ` +
      `${model.input_size[2]}x${model.input_size[1]} pixels.`;
  }
  return text;
}

// What the network read, with the loss of probability over it and the receptive field about the strongest cell.
async function heat(found) {
  const image = new Image();
  image.src = found.occlusion.seen;
  await image.decode();
  const canvas = element("canvas");
  const scale = Math.max(1, Math.round(320 / image.width));
  canvas.width = scale * image.width;
  canvas.height = scale * image.height;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Where the network looked");
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  const rows = found.occlusion.drops;
  const most = Math.max(1e-6, ...rows.flat().map(Math.abs));
  let best = [0, 0];
  rows.forEach((row, y) => row.forEach((drop, x) => {
    if (drop > rows[best[1]][best[0]]) best = [x, y];
    pen.fillStyle = `rgb(${drop > 0 ? "230 40 30" : "40 90 230"} / ${(0.6 * Math.abs(drop) / most).toFixed(3)})`;
    const [left, top] = [Math.round(x * canvas.width / row.length), Math.round(y * canvas.height / rows.length)];
    const right = Math.round((x + 1) * canvas.width / row.length);
    pen.fillRect(left, top, right - left, Math.round((y + 1) * canvas.height / rows.length) - top);
  }));
  if (model && model.receptive_field) {
    const [height, width] = model.receptive_field.map((length) => length * scale);
    const across = (best[0] + 0.5) * canvas.width / rows[0].length;
    const down = (best[1] + 0.5) * canvas.height / rows.length;
    pen.lineWidth = 2;
    pen.strokeStyle = "#fff";
    pen.setLineDash([6, 4]);
    pen.strokeRect(across - width / 2, down - height / 2, width, height);
  }
  return canvas;
}

function take(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!pictures.length) say("There is no picture among them.", true);
  for (const file of pictures) show(file.name || "picture", file, file, file.type || "application/octet-stream");
}

$("choose").onclick = () => $("files").click();
for (const id of ["files", "snap"]) {
  $(id).onchange = () => { take($(id).files); $(id).value = ""; };
}
document.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) { event.preventDefault(); take(event.clipboardData.files); }
});
$("address").onsubmit = (event) => {
  event.preventDefault();
  show($("url").value, null, JSON.stringify({url: $("url").value}), "application/json");
};

$("camera").onclick = async () => {
  if (!navigator.mediaDevices) { $("snap").click(); return; } // without https a browser has the file dialog alone
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
  } catch (error) {
    say("The camera cannot be used (" + error.name + "); choose a picture instead.", true);
    return;
  }
  $("video").srcObject = stream;
  $("viewfinder").hidden = false;
  await $("video").play();
  $("shoot").focus();
};
function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  $("viewfinder").hidden = true;
  $("camera").focus();
}
$("close").onclick = closeCamera;
$("shoot").onclick = () => {
  const canvas = element("canvas");
  canvas.width = $("video").videoWidth;
  canvas.height = $("video").videoHeight;
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((blob) => show("photograph", blob, blob, "image/jpeg"), "image/jpeg", 0.92);
  closeCamera();
};

(async () => {
  try {
    model = await (await fetch("/v1/model")).json();
  } catch (error) {
    say("The service cannot be reached.", true);
    return;
  }
  const classes = model.classes.length > 8 ? `${model.classes.length} classes` : model.classes.join(", ");
  const accuracy = model.test_accuracy ?? model.val_accuracy;
  $("about").textContent = `${model.name}: ${classes}` +
    (accuracy === null ? "" : `; right on ${(100 * accuracy).toFixed(1)} % of the pictures it was tried on`) + ".";
  $("address").hidden = !model.fetches;
})();
