// The page of the demo: takes views from the socket, shows them, and hands back what the buttons ask for.
import { readMessage } from "/static/message.js";
import { Panels } from "/static/panels.js";

const TRY_AGAIN = 1000; // milliseconds

const find = (id) => document.getElementById(id);
const canvas = find("picture");
const pen = canvas.getContext("2d");
const panels = new Panels();
let scene = null;
let shown = null; // the view shown last
let pictures = 0;
let connected = false;
let status = { source: "connecting", trouble: null, recording: false, mirrored: false };
let recordingSince = 0;

// The 3D view comes when it comes, and a browser without WebGL does without it.
if (find("scene")) {
  import("/static/scene.js")
    .then(({ Scene }) => {
      scene = new Scene(find("scene"), find("grid"), document.querySelectorAll("[data-view]"));
      if (shown) scene.show(shown.head, shown.meshes);
    })
    .catch(() => {
      find("grid").textContent = "no 3D view: this browser has no WebGL";
    });
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    connected = true;
    showStatus();
  };
  let turn = Promise.resolve(); // views are shown in the order in which they came
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.topic === "status") {
        if (said.recording && !status.recording) recordingSince = performance.now();
        status = said;
        showStatus();
      }
      return;
    }
    turn = turn
      .then(() => show(readMessage(data)))
      .catch((error) => console.error(error))
      .then(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send("next");
      });
  };
  socket.onclose = () => {
    connected = false;
    showStatus();
    setTimeout(connect, TRY_AGAIN);
  };
}

async function show({ head, meshes, jpeg }) {
  const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    [canvas.width, canvas.height] = [picture.width, picture.height];
    document.body.style.setProperty("--shape", `${picture.width} / ${picture.height}`);
  }
  pen.drawImage(picture, 0, 0);
  picture.close();
  panels.show(head);
  scene?.show(head, meshes);
  shown = { head, meshes };
  pictures += 1;
  find("waiting").hidden = true;
  document.body.dataset.pictures = pictures; // for those who drive the page
  document.body.dataset.number = head.number;
}

function showStatus() {
  const trouble = connected ? status.trouble : "no connection to humanpt: it may have ended; trying again";
  find("source").textContent = connected ? status.source : "not connected";
  find("dot").className = `dot ${connected && !trouble ? "good" : "warn"}`;
  find("trouble").textContent = trouble ?? "";
  find("trouble").hidden = !trouble;
  for (const button of document.querySelectorAll("[data-action]")) {
    button.disabled = !connected;
    const { action } = button.dataset;
    if (action === "mirror") button.setAttribute("aria-pressed", status.mirrored);
    if (action === "record") button.setAttribute("aria-pressed", status.recording);
  }
  tick();
}

function tick() {
  document.body.classList.toggle("stale", !connected || Boolean(status.trouble));
  const words = document.querySelector("[data-action=record] span");
  if (!words) return;
  const seconds = Math.floor((performance.now() - recordingSince) / 1000);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  words.textContent = status.recording ? `Stop ${clock}` : "Record";
}

let quiet = 0;
function say(line, done) {
  const said = find("said");
  said.textContent = line;
  said.className = `said shown${done ? "" : " wrong"}`;
  clearTimeout(quiet);
  quiet = setTimeout(() => said.classList.remove("shown"), done ? 3500 : 8000);
}

async function act(action) {
  try {
    const answer = await fetch(`/do/${action}`, { method: "POST" });
    const { line } = await answer.json();
    say(line, answer.ok);
  } catch {
    say("no answer from humanpt: it may have ended", false);
  }
}

find("buttons").addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) act(button.dataset.action);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const action = { r: "record", s: "snapshot", m: "mirror" }[event.key];
  if (action && document.querySelector(`[data-action=${action}]:not(:disabled)`)) act(action);
});
setInterval(tick, 500);
connect();
