/* Small parts that the views are made of. */
import { number } from "./format.js";
import { texts } from "./texts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

/** Several class names, those that are not false. */
export const cls = (...names) => names.filter(Boolean).join(" ");

/** What a screen reader says of what has just happened. */
export function say(words) {
  const region = document.getElementById("said");
  if (!region) return;
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = words; });
}

export const Note = ({ title = texts.errors.title, detail, children }) => html`
  <div class="alert" role="alert"><p><strong>${title}.</strong> ${detail}</p>${children}</div>`;

export const Bar = ({ share, label, class: name }) => html`
  <div class=${cls("bar", name)} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${share === null ? undefined : Math.round(100 * share)}>
    <i class=${share === null ? "unknown" : ""} style=${{ transform: share === null ? "" : `scaleX(${share})` }}></i>
  </div>`;

/** A figure, or both of before and after. */
const Figure = ({ label, note, unit, before, after }) => html`
  <div><dt>${label}</dt><dd>${after === undefined
    ? html`<span class="now">${number(before)}</span>`
    : html`<span class="was"><span class="sr">${texts.measure.before} </span>${number(before)}</span>
      <span class="arrow" aria-hidden="true"> → </span><span class="now"><span class="sr">${texts.measure.after} </span>${number(after)}</span>`}
    ${" "}<span class="unit">${unit}</span></dd><dd class="note">${note}</dd></div>`;

export function Headline({ before, after, target }) {
  const m = texts.measure, of = (key) => ({ before: before?.[key], after: after === undefined ? undefined : after?.[key] });
  return html`<dl class="headline four">
    <${Figure} label=${m.loudness} unit=${m.lufs} note=${target ?? m.loudnessNote} ...${of("integrated_lufs")} />
    <${Figure} label=${m.peak} unit=${m.dbtp} note=${m.peakNote} ...${of("true_peak_dbtp")} />
    <${Figure} label=${m.range} unit=${m.lu} note=${m.rangeNote} ...${of("loudness_range_lu")} />
    <${Figure} label=${m.plr} unit=${m.db} note=${m.plrNote} ...${of("plr_db")} />
  </dl>`;
}

/** A dialog that is open while it is there; `onClose` is called by Escape too. */
export function Dialog({ title, onClose, children }) {
  const box = useRef();
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${box} aria-labelledby="dialog-title"
    onCancel=${(event) => { event.preventDefault(); onClose(); }}
    onClick=${(event) => { if (event.target === box.current) onClose(); }}>
    <div class="dialog-body"><h2 id="dialog-title">${title}</h2>${children}</div></dialog>`;
}

/** A button that is busy while what it does is under way, and shows what went wrong. */
export function Action({ run, class: name, children, disabled, label, onProblem }) {
  const [busy, setBusy] = useState(false);
  const here = useRef(true);
  useEffect(() => () => { here.current = false; }, []);
  const press = async () => {
    if (busy) return;
    setBusy(true);
    try { await run(); } catch (problem) { (onProblem ?? ((each) => say(each.message)))(problem); }
    if (here.current) setBusy(false);
  };
  return html`<button type="button" class=${name} onClick=${press} disabled=${disabled} aria-disabled=${busy} aria-busy=${busy} aria-label=${label}>${children}</button>`;
}

/** The seconds since something was told; it grows by the second. */
export function useSeconds(since, isRunning) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(() => draw((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [isRunning]);
  return (performance.now() - since) / 1000;
}

/** A heading that takes the focus when its page is opened. */
export function Heading({ children, class: name }) {
  const here = useRef();
  useEffect(() => { if (document.body.dataset.moved) here.current.focus({ preventScroll: true }); }, []);
  return html`<h1 ref=${here} tabindex="-1" class=${name}>${children}</h1>`;
}
