// The viewer of one case. Volumes are script files that call umd.take; they are loaded when they are first looked at.
"use strict";

const umd = (function () {
  const taken = new Map();
  const waiting = new Map();

  function take(key, body) { taken.set(key, body); }

  // The content that a script file hands over; the file is loaded once.
  function load(key, source) {
    if (!waiting.has(key)) {
      waiting.set(key, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => resolve(taken.get(key));
        script.onerror = () => reject(new Error(`${source} is not there`));
        document.head.append(script);
      }));
    }
    return waiting.get(key);
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  async function unpacked(base64) {
    const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // What one voxel of the overlay can be; a label map that separates true positives, false negatives and false positives.
  const MISSED = 1, SPILLED = 2, AGREED = 3, REFERENCE_ALONE = 4, PLUS = 5, MINUS = 6, BOX = 7;
  const LABELS = {
    I: [0, 1, 2, 3, 4, 5, 6, 7],
    R: [0, 58, 255, 205, 58, 245, 210, 245],
    G: [0, 160, 154, 205, 160, 230, 90, 230],
    B: [0, 232, 61, 215, 232, 99, 255, 99],
    A: [0, 255, 255, 170, 255, 255, 255, 255],
    labels: ["", "false negative", "false positive", "true positive", "reference", "point", "background point", "box"],
  };

  const WINDOWS = {
    CT: [["Soft tissue", -160, 240], ["Lung", -1350, 150], ["Bone", -450, 1050], ["Brain", 0, 80]],
    PT: [["SUV 0 to 10", 0, 10], ["SUV 0 to 5", 0, 5], ["SUV 0 to 20", 0, 20]],
    MR: [["Full range", NaN, NaN]],
  };

  const modalityName = (modality) => (modality === "PT" ? "PET" : modality);

  function option(value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    return made;
  }

  class Viewer {
    constructor(about, root) {
      this.about = about;
      this.root = root;
      this.part = (name) => root.querySelector(`[data-part="${name}"]`);
      this.images = new Map();
      this.overlays = new Map();
      this.drawing = Promise.resolve();
    }

    async start() {
      this.fill("image", this.imageChoices());
      this.fill("run", this.about.runs.map((run, n) => [n, run.label]));
      this.chooseRun();
      for (const name of ["image", "window", "slices", "opacity", "reference", "prediction", "prompts", "outline"]) {
        this.part(name).addEventListener("change", () => this.draw(name === "image"));
      }
      this.part("run").addEventListener("change", () => { this.chooseRun(); this.draw(true); });
      this.part("scan").addEventListener("change", () => { this.chooseScan(); this.draw(true); });
      for (const name of ["target", "seed"]) {
        this.part(name).addEventListener("change", () => { this.chooseTarget(); this.draw(false).then(() => this.goToPrompt()); });
      }
      this.part("round").addEventListener("change", () => this.draw(false));
      this.part("go").addEventListener("click", () => this.goToPrompt());
      this.root.addEventListener("keydown", (event) => this.key(event), true);
      this.nv = new niivue.Niivue({
        logLevel: "error", dragAndDropEnabled: false, isRadiologicalConvention: true, isSliceMM: true, show3Dcrosshair: true,
        sagittalNoseLeft: true, crosshairWidth: 0.6, crosshairWidthUnit: "percent", crosshairColor: [0.96, 0.9, 0.39, 0.6], backColor: [0, 0, 0, 1],
        fontColor: [0.75, 0.75, 0.78, 1], multiplanarShowRender: niivue.SHOW_RENDER.NEVER, loadingText: "",
      });
      await this.nv.attachToCanvas(this.part("canvas"));
      this.nv.onLocationChange = (place) => this.readOut(place);
      await this.draw(true);
      await this.goToPrompt();
      this.part("over").hidden = true;
    }

    fill(name, choices) {
      const select = this.part(name);
      const before = select.value;
      select.replaceChildren(...choices.map(([value, text]) => option(value, text)));
      if (choices.some(([value]) => String(value) === before)) select.value = before;
      const row = select.closest("label");
      if (row) row.hidden = choices.length < 2 && row.dataset.optional !== undefined;
    }

    imageChoices() {
      const names = Object.keys(this.about.scans);
      const fused = names.includes("PT") ? names.filter((name) => name !== "PT").map((name) => [`${name}+PT`, `PET over ${name}`]) : [];
      return [...names.map((name) => [name, modalityName(name)]), ...fused];
    }

    chooseRun() {
      const run = this.about.runs[this.part("run").value || 0];
      this.fill("scan", Object.keys(run.scans).map((name) => [name, modalityName(name)]));
      this.chooseScan();
    }

    chooseScan() {
      const scan = this.scan();
      this.fill("target", [...new Set(scan.entries.map((entry) => entry.target))].map((name) => [name, name]));
      if (!this.part("image").value.split("+").includes(this.part("scan").value)) this.part("image").value = this.part("scan").value;
      this.chooseTarget();
    }

    chooseTarget() {
      const own = this.scan().entries.filter((entry) => entry.target === this.part("target").value);
      this.fill("seed", [...new Set(own.map((entry) => entry.seed))].map((seed) => [seed, `draw ${seed}`]));
      const rounds = own.filter((entry) => String(entry.seed) === this.part("seed").value);
      this.fill("round", rounds.map((entry) => [entry.round, entry.round === 0 ? "first prompt" : `correction ${entry.round}`]));
    }

    scan() { return this.about.runs[this.part("run").value].scans[this.part("scan").value]; }

    entry() {
      const [target, seed, round] = ["target", "seed", "round"].map((name) => this.part(name).value);
      return this.scan().entries.find((one) => one.target === target && String(one.seed) === seed && String(one.round) === round);
    }

    // One drawing after another, so that a quick hand does not mix two.
    draw(again) {
      this.root.dataset.state = "drawing";
      const own = this.drawing.then(() => this.drawNow(again)).catch((error) => this.complain(error));
      this.drawing = own;
      own.then(() => { if (this.drawing === own && this.root.dataset.state === "drawing") this.root.dataset.state = "ready"; });
      return own;
    }

    async drawNow(again) {
      const [base, over] = this.part("image").value.split("+");
      if (again) {
        this.fill("window", WINDOWS[base].map(([text], n) => [n, text]));
        const volumes = [await this.image(base), ...(over ? [await this.image(over)] : []), await this.overlay()];
        this.nv.volumes.slice().forEach((volume) => this.nv.removeVolume(volume));
        volumes.forEach((volume) => this.nv.addVolume(volume));
      }
      const [, low, high] = WINDOWS[base][this.part("window").value || 0];
      this.paint(this.nv.volumes[0], base === "PT" ? "gray_inverted" : "gray", low, high, 1);
      if (over) this.paint(this.nv.volumes[1], "hotiron", 0, 10, 0.55);
      await this.fillOverlay();
      this.nv.opts.atlasOutline = this.part("outline").checked ? 1 : 0;
      this.nv.volumes.at(-1).opacity = Number(this.part("opacity").value);
      this.nv.updateGLVolume();
      this.nv.setSliceType(this.nv[this.part("slices").value]);
      this.say();
    }

    paint(volume, colours, low, high, opacity) {
      volume.colormap = colours === "gray_inverted" ? "gray" : colours;
      volume.colormapInvert = colours === "gray_inverted";
      if (!Number.isNaN(low)) { volume.cal_min = low; volume.cal_max = high; }
      volume.opacity = opacity;
    }

    async image(name) {
      if (!this.images.has(name)) {
        const { key, script } = this.about.scans[name];
        const base64 = await load(key, script);
        this.images.set(name, await niivue.NVImage.loadFromBase64({ base64, name: `${name}.nii.gz` }));
      }
      return this.images.get(name);
    }

    // A label map on the grid of the scan that the prediction is of.
    async overlay() {
      const name = this.part("scan").value;
      if (!this.overlays.has(name)) {
        const { header, shape } = this.about.scans[name];
        const head = bytes(header);
        const file = new Uint8Array(head.length + shape[0] * shape[1] * shape[2]);
        file.set(head);
        const made = await niivue.NVImage.new(file.buffer, "overlay.nii", "gray", 0.6);
        made.setColormapLabel(LABELS);
        this.overlays.set(name, made);
      }
      return this.overlays.get(name);
    }

    async fillOverlay() {
      const name = this.part("scan").value, { shape } = this.about.scans[name];
      const voxels = (await this.overlay()).img;
      const entry = this.entry();
      voxels.fill(0);
      const shown = (part) => this.part(part).checked;
      const references = shown("reference") ? await load(this.about.scans[name].references.key, this.about.scans[name].references.script) : {};
      const predictions = shown("prediction") ? await load(this.scan().key, this.scan().script) : {};
      const both = shown("reference") && shown("prediction");
      await this.put(voxels, shape, references[entry.target], () => (both ? MISSED : REFERENCE_ALONE));
      await this.put(voxels, shape, predictions[entry.mask], (before) => (before === MISSED ? AGREED : SPILLED));
      if (shown("prompts")) this.putPrompts(voxels, shape, entry);
    }

    async put(voxels, shape, crop, label) {
      if (!crop || !crop.data) return;
      const mask = await unpacked(crop.data), [ni, nj, nk] = crop.shape, [i0, j0, k0] = crop.low;
      let n = 0;
      for (let k = k0; k < k0 + nk; k++) for (let j = j0; j < j0 + nj; j++) {
        let at = i0 + shape[0] * (j + shape[1] * k);
        for (let i = 0; i < ni; i++, at++) if (mask[n++]) voxels[at] = label(voxels[at]);
      }
    }

    prompts(entry) {
      const given = this.scan().prompts[entry.seed]?.[entry.target] ?? { points: [], box: null };
      const added = this.scan().added.filter((one) => one.seed === entry.seed && one.target === entry.target && one.round <= entry.round);
      return { box: given.box, points: [...given.points, ...added.flatMap((one) => one.points)] };
    }

    putPrompts(voxels, shape, entry) {
      const { points, box } = this.prompts(entry);
      const set = (i, j, k, label) => {
        if (i >= 0 && j >= 0 && k >= 0 && i < shape[0] && j < shape[1] && k < shape[2]) voxels[i + shape[0] * (j + shape[1] * k)] = label;
      };
      if (box) {
        const [low, high] = box;
        for (let k = low[2]; k < high[2]; k++) for (let j = low[1]; j < high[1]; j++) for (let i = low[0]; i < high[0]; i++) {
          const edges = (i === low[0] || i === high[0] - 1) + (j === low[1] || j === high[1] - 1) + (k === low[2] || k === high[2] - 1);
          if (edges >= 1) set(i, j, k, BOX); else i = Math.max(i, high[0] - 2);
        }
      }
      for (const [i, j, k, foreground] of points) {
        const label = foreground ? PLUS : MINUS;
        for (let step = -2; step <= 2; step++) { set(i + step, j, k, label); set(i, j + step, k, label); set(i, j, k + step, label); }
      }
    }

    async goToPrompt() {
      await this.drawing;
      const entry = this.entry(), { points, box } = this.prompts(entry), name = this.part("scan").value;
      let at = points.at(-1)?.slice(0, 3) ?? (box && box[0].map((low, n) => (low + box[1][n] - 1) / 2));
      if (!at) {
        const references = await load(this.about.scans[name].references.key, this.about.scans[name].references.script);
        const crop = references[entry.target];
        if (!crop || !crop.data) return;
        at = crop.low.map((low, n) => low + (crop.shape[n] - 1) / 2);
      }
      const rows = this.about.scans[name].affine;
      const mm = rows.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
      this.nv.scene.crosshairPos = this.nv.mm2frac(mm);
      this.nv.createOnLocationChange();
      this.nv.drawScene();
    }

    key(event) {
      if (event.target !== this.part("canvas") || event.ctrlKey || event.altKey || event.metaKey) return;
      const moves = { ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], ArrowUp: [0, 0, 1], ArrowDown: [0, 0, -1], PageUp: [0, 1, 0], PageDown: [0, -1, 0] };
      const toggles = { r: "reference", p: "prediction", o: "outline", m: "prompts" };
      const steps = { "[": ["round", -1], "]": ["round", 1], ",": ["target", -1], ".": ["target", 1], v: ["slices", 1], i: ["image", 1] };
      if (moves[event.key]) this.nv.moveCrosshairInVox(...moves[event.key]);
      else if (toggles[event.key]) this.part(toggles[event.key]).click();
      else if (steps[event.key]) this.step(...steps[event.key]);
      else if (event.key === "g") this.goToPrompt();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    }

    step(name, by) {
      const select = this.part(name), count = select.options.length;
      select.selectedIndex = (select.selectedIndex + by + count) % count;
      select.dispatchEvent(new Event("change"));
    }

    say() {
      const entry = this.entry(), run = this.about.runs[this.part("run").value];
      const score = entry.score === null ? `no score (${entry.status})` : `${this.about.metric} ${entry.score.toFixed(3)}`;
      this.part("summary").textContent = `${run.label}\n${entry.target} on ${modalityName(this.part("scan").value)}: ${score}` + (entry.detail ? `\n${entry.detail}` : "");
    }

    readOut(place) {
      const values = (place.values ?? []).slice(0, this.nv.volumes.length - 1).map((one, n) => {
        const name = this.part("image").value.split("+")[n];
        return `${modalityName(name)} ${Number(one.value).toFixed(name === "PT" ? 2 : 0)} ${this.about.scans[name].unit}`;
      });
      const [x, y, z] = place.mm;
      const side = (value, positive, negative) => `${Math.abs(value).toFixed(0)} ${value >= 0 ? positive : negative}`;
      this.part("readout").textContent = `${side(x, "R", "L")}  ${side(y, "A", "P")}  ${side(z, "S", "I")} mm\n${values.join("\n")}`;
    }

    complain(error) {
      this.part("over").hidden = false;
      this.part("over").textContent = `The viewer does not work here: ${error.message}. The snapshots below show the same predictions.`;
      this.root.dataset.state = "failed";
    }
  }

  document.addEventListener("DOMContentLoaded", async () => {
    const root = document.querySelector("[data-viewer]");
    if (!root || !window.niivue) return;
    const viewer = new Viewer(JSON.parse(document.getElementById("case").textContent), root);
    try { await viewer.start(); } catch (error) { viewer.complain(error); }
  });

  return { take };
})();
