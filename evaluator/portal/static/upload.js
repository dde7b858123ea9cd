// Sends the archive of the form in parts, shows the progress, and continues after a broken connection.
// Without this script the form sends the archive as one request.
"use strict";

(function () {
  const form = document.getElementById("upload");
  if (!form) return;
  const bar = document.getElementById("bar");
  const text = document.getElementById("progress-text");
  const panel = document.getElementById("progress");
  const pause = document.getElementById("pause");
  const button = form.querySelector("button.button");
  const WAIT_SECONDS = [1, 2, 5, 10, 20, 30];
  let stopped = false;
  let request = null;

  // An answer that says what is wrong, which trying again does not mend.
  class Refusal extends Error {}

  async function call(method, path, options = {}) {
    request = new AbortController();
    const headers = { "X-CSRF-Token": form.dataset.csrf, ...options.headers };
    const answer = await fetch(path, { method, headers, body: options.body, signal: request.signal });
    const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    if (answer.ok || answer.status === 409) return body;
    const sentence = body.error ?? `the portal answered with ${answer.status}`;
    if (answer.status === 422 || answer.status === 408 || answer.status === 429 || answer.status >= 500) throw new Error(sentence);
    throw new Refusal(sentence);
  }

  function pages(bytes) {
    return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  }

  async function digest(buffer) {
    if (!globalThis.crypto?.subtle) return null; // plain HTTP to another machine
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
    return btoa(String.fromCharCode(...hash));
  }

  function show(offset, size, note) {
    bar.value = size ? offset / size : 0;
    text.textContent = `${pages(offset)} of ${pages(size)}${note ? `: ${note}` : ""}`;
  }

  function speed(history, offset, size) {
    const now = performance.now() / 1000;
    history.push([now, offset]);
    while (history.length > 2 && now - history[0][0] > 15) history.shift();
    const [begin, first] = history[0];
    if (now - begin < 1) return "";
    const rate = (offset - first) / (now - begin);
    const minutes = Math.ceil((size - offset) / rate / 60);
    return `${(rate / 2 ** 20).toFixed(1)} MiB/s, about ${minutes} minute${minutes === 1 ? "" : "s"} left`;
  }

  async function sendParts(file, upload) {
    const history = [];
    let offset = upload.offset;
    while (offset < file.size) {
      const part = await file.slice(offset, offset + upload.part).arrayBuffer();
      const hash = await digest(part);
      const headers = { "Content-Type": "application/octet-stream" };
      if (hash) headers["Content-Digest"] = `sha-256=:${hash}:`;
      const answer = await call("PUT", `/uploads/${upload.id}?offset=${offset}`, { body: part, headers });
      offset = answer.offset;
      show(offset, file.size, speed(history, offset, file.size));
    }
  }

  async function sendFile(file, track) {
    const wish = { track, name: file.name, size: file.size, fingerprint: String(file.lastModified) };
    const upload = await call("POST", "/uploads", { body: JSON.stringify(wish), headers: { "Content-Type": "application/json" } });
    show(upload.offset, file.size, upload.offset ? "continues" : "");
    await sendParts(file, upload);
    return upload.id;
  }

  // After a broken connection a complete upload is finished again, so it is not sent twice.
  async function finish(file, id) {
    pause.hidden = true;
    show(file.size, file.size, "complete; the portal checks and stores it");
    const end = await call("POST", `/uploads/${id}/finish`);
    if (!end.submission) throw new Refusal("a part is missing; press “Hand in” again");
    location.assign(`/submissions/${end.submission}`);
  }

  async function waitBefore(failures, reason) {
    const seconds = WAIT_SECONDS[Math.min(failures, WAIT_SECONDS.length) - 1];
    text.textContent = `The connection failed (${reason}). Trying again in ${seconds} s.`;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }

  async function send(file, track) {
    let failures = 0;
    let before = -1;
    let complete = "";
    while (!stopped) {
      try {
        complete ||= await sendFile(file, track);
        await finish(file, complete);
        return;
      } catch (error) {
        if (error instanceof Refusal) throw error;
        if (stopped) return;
        failures = bar.value > before ? 1 : failures + 1;
        before = bar.value;
        await waitBefore(failures, error.message);
      }
    }
  }

  function busy(isBusy) {
    panel.hidden = false;
    pause.hidden = !isBusy;
    button.disabled = isBusy;
  }

  form.addEventListener("submit", async (event) => {
    const file = form.elements.archive.files[0];
    if (!file || form.elements.reference.value.trim()) return;
    event.preventDefault();
    stopped = false;
    busy(true);
    try {
      await send(file, new FormData(form).get("track"));
    } catch (error) {
      text.textContent = `The portal refused: ${error.message}`;
      busy(false);
    }
  });

  pause.addEventListener("click", () => {
    stopped = true;
    request?.abort();
    text.textContent = "Paused. Press “Hand in” to continue, now or later with the same file.";
    busy(false);
  });
})();
