/* What may be wished of a master. */
import { begin, checked, send } from "../uploads.js";
import { DEFAULTS, FORMATS, RESPECTS, isChanged, offered, understand } from "../choices.js";
import { number, percent } from "../format.js";
import { useStore } from "../store.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const c = texts.choices;
const REST_MS = 250;

/** `change` gets the values that are new; in an album only what an album takes is shown. */
export function Choices({ value, change, isAlbum = false, id = "choices" }) {
  return html`<div class="choices">
    ${!isAlbum && html`<${Goal} id=${id} text=${value.goal} change=${(goal) => change({ goal })} />`}
    <div class="field-row">
      <${Loudness} id=${id} value=${value} change=${change} />
      <${Ceiling} id=${id} value=${value.ceiling} change=${(ceiling) => change({ ceiling })} />
    </div>
    <details class="more">
      <summary>${c.more} <span class="unit">${c.moreNote(changes(value))}</span></summary>
      <div class="more-body">
        ${!isAlbum && html`<${Reference} id=${id} value=${value.reference} change=${change} loudness=${value.loudness} />
        <${Amounts} id=${id} value=${value.amounts} change=${(amounts) => change({ amounts })} />
        <${Repairs} value=${value.repairs} change=${(repairs) => change({ repairs })} />`}
        <${Files} id=${id} value=${value} change=${change} isAlbum=${isAlbum} />
        <button type="button" class="quiet" disabled=${!isChanged(value)} onClick=${() => change({ ...DEFAULTS })}>${c.reset}</button>
      </div>
    </details>
  </div>`;
}

const INSIDE = ["reference", "amounts", "repairs", "formats", "bitDepth", "sampleRate", "stems"];
const changes = (value) => INSIDE.filter((name) => JSON.stringify(value[name]) !== JSON.stringify(DEFAULTS[name])).length;

function Goal({ id, text, change }) {
  const [read, setRead] = useState(null);
  useEffect(() => {
    if (!text.trim()) { setRead(null); return undefined; }
    let here = true;
    const timer = setTimeout(() => understand(text).then((found) => { if (here) setRead(found); }, () => {}), REST_MS);
    return () => { here = false; clearTimeout(timer); };
  }, [text]);
  const add = (word) => change(text.trim() ? `${text.trim().replace(/,$/, "")}, ${word}` : word);
  return html`<div class="field goal">
    <label for="${id}-goal">${c.goal}</label>
    <input id="${id}-goal" type="text" maxlength="500" autocomplete="off" placeholder=${c.goalHint} value=${text}
      onInput=${(event) => change(event.target.value)} aria-describedby="${id}-understood" />
    <div class="tries" role="group" aria-label=${c.tryLabel}>${c.try.filter((word) => !text.includes(word)).map((word) =>
      html`<button type="button" class="chip" onClick=${() => add(word)}>${word}</button>`)}</div>
    <p class="understood" id="${id}-understood" aria-live="polite">${text.trim() && read ? html`<${Understood} read=${read} change=${change} />` : html`<span class="unit">${c.goalNothing}</span>`}</p>
  </div>`;
}

const steps = (n) => (Math.abs(n) > 1.3 ? "++" : Math.abs(n) < 0.7 ? "·" : "+");

const Piece = ({ mark, words, without, change }) => html`<span class="tag">${mark && html`<i aria-hidden="true">${mark}</i>`}${words}<button type="button" class="x" aria-label=${c.goalRemove(words)} title=${c.goalRemove(words)} onClick=${() => change(without)}>×</button></span> `;

const Understood = ({ read, change }) => [
  read.understood.length + read.genres.length > 0 && html`<span class="unit">${c.goalUnderstood}</span> `,
  read.understood.map((wish) => html`<${Piece} mark=${["more", "less"].includes(wish.direction) && steps(wish.steps)} words=${wish.as} without=${wish.without} change=${change} />`),
  read.genres.map((genre) => html`<${Piece} words=${c.goalGenre(genre.words)} without=${genre.without} change=${change} />`),
  read.corrected.map(([words, meant]) => html`<span class="tag">${c.goalReadAs(words, meant)}</span> `),
  read.not_understood.map(({ words, did_you_mean: meant }) => html`<span class="tag amiss">${meant ? c.goalMeant(words, meant) : c.goalUnknown(words)}</span> `),
  read.conflicts.map(([more, less], n) => html`<span class="tag amiss">${c.goalConflict(more, less, read.decided[n])}</span> `),
  read.problems.map((line) => html`<span class="tag amiss">${line}</span> `),
];

function Loudness({ id, value, change }) {
  const targets = useStore(offered)?.targets ?? [];
  const known = ["streaming", "loud", "reference", ...targets.map((target) => target.platform)];
  const isOwn = !known.includes(value.loudness) && targets.length > 0;
  const pick = (event) => change({ loudness: event.target.value === "own" ? "-12" : event.target.value });
  const platforms = targets.filter((target) => !["streaming", "loud", "reference"].includes(target.platform));
  return html`<div class="field">
    <label for="${id}-loudness">${c.loudness}</label>
    <div class="pair"><select id="${id}-loudness" value=${isOwn ? "own" : value.loudness} onChange=${pick}>
      <option value="streaming">${c.streaming}</option><option value="loud">${c.loud}</option>
      ${value.reference.length > 0 && html`<option value="reference">${c.asReference}</option>`}
      <optgroup label=${c.platforms}>${platforms.map((target) => html`<option value=${target.platform}>${target.title || target.platform}, ${number(target.target_lufs, 0)} LUFS</option>`)}</optgroup>
      <option value="own">${c.own}</option>
    </select>
    ${isOwn && html`<input type="number" min="-40" max="-5" step="0.5" aria-label=${c.lufs} value=${value.loudness} onChange=${(event) => change({ loudness: event.target.value || "-14" })} />`}</div>
  </div>`;
}

const Ceiling = ({ id, value, change }) => html`<div class="field">
  <label for="${id}-ceiling">${c.ceiling}</label>
  <input id="${id}-ceiling" type="number" min="-20" max="0" step="0.1" placeholder="−1" value=${value} aria-describedby="${id}-ceiling-note"
    onChange=${(event) => change({ ceiling: event.target.value })} />
  <p class="hint" id="${id}-ceiling-note">${c.ceilingNote}</p></div>`;

function Reference({ id, value, change, loudness }) {
  const [sent, setSent] = useState(null);
  const [problem, setProblem] = useState(null);
  const input = useRef();
  const profiles = useStore(offered)?.profiles ?? [];
  const set = (reference) => change({ reference, ...(reference.length || loudness !== "reference" ? {} : { loudness: "streaming" }) });
  async function take(file) {
    if (!file) return;
    const stop = new AbortController();
    setProblem(null);
    setSent(0);
    try {
      const upload = await begin(file, stop.signal);
      await send(upload, file, (bytes) => setSent(bytes / Math.max(file.size, 1)), stop.signal);
      const ready = await checked(upload, stop.signal);
      if (ready.problem) setProblem(ready.problem.detail);
      else set([...value.filter((each) => each.upload), { upload, name: file.name }]);
    } catch (error) {
      setProblem(error.message);
    }
    setSent(null);
  }
  const onDrop = (event) => { event.preventDefault(); event.stopPropagation(); take(event.dataTransfer.files[0]); };
  const profile = value.find((each) => each.profile)?.profile ?? "";
  return html`<fieldset class="group" onDragOver=${(event) => event.preventDefault()} onDrop=${onDrop} data-drop="own"><legend>${c.reference}</legend>
    <p class="hint">${c.referenceNote}</p>
    <div class="field-row">
      <div class="field"><button type="button" class="plain-button" onClick=${() => input.current.click()} disabled=${sent !== null}>${sent === null ? c.referenceDrop : c.referenceSending(percent(sent))}</button>
        <input class="sr" ref=${input} type="file" accept="audio/*,.json" tabindex="-1" aria-label=${c.referenceDrop} onChange=${(event) => { take(event.target.files[0]); event.target.value = ""; }} /></div>
      <div class="field inline"><label for="${id}-profile">${c.profile}</label>
        <select id="${id}-profile" value=${profile} onChange=${(event) => set(event.target.value ? [{ profile: event.target.value, name: event.target.value }] : [])}>
          <option value="">${c.profileNone}</option>${profiles.map((each) => html`<option value=${each.name}>${each.name.replace(/^genre:/, "")}</option>`)}</select></div>
    </div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${value.length > 0 && html`<ul class="tags">${value.map((each) => html`<li class="tag">${each.name.replace(/^genre:/, "")}
      <button type="button" class="x" aria-label=${c.dropReference(each.name)} onClick=${() => set(value.filter((other) => other !== each))}>×</button></li>`)}</ul>`}
  </fieldset>`;
}

const Amounts = ({ id, value, change }) => html`<fieldset class="group"><legend>${c.amounts}</legend><p class="hint">${c.amountsNote}</p>
  <div class="sliders">${RESPECTS.map((name) => html`<div class="slide">
    <label for="${id}-${name}">${c[name]} <span class="unit">${c[`${name}Note`]}</span></label>
    <input id="${id}-${name}" type="range" min="0" max="1" step="0.05" value=${value[name] ?? 1} onInput=${(event) => change({ ...value, [name]: Number(event.target.value) })} />
    <output for="${id}-${name}">${percent(value[name] ?? 1)}</output></div>`)}</div></fieldset>`;

function Repairs({ value, change }) {
  const repairs = useStore(offered)?.repairs ?? [];
  const toggle = (name, isOn) => {
    const { [name]: _, ...rest } = value;
    change(isOn ? rest : { ...rest, [name]: 0 });
  };
  return html`<fieldset class="group"><legend>${c.repairs}</legend><p class="hint">${c.repairsNote}</p>
    <div class="checks">${repairs.map(({ name, purpose }) => html`<label title=${purpose}><input type="checkbox" checked=${value[name] !== 0}
      onChange=${(event) => toggle(name, event.target.checked)} /> ${texts.repair[name] ?? name}</label>`)}</div></fieldset>`;
}

function Files({ id, value, change, isAlbum }) {
  const toggle = (format, isOn) => {
    const formats = isAlbum ? [format] : FORMATS.filter((each) => (each === format ? isOn : value.formats.includes(each)));
    if (formats.length) change({ formats });
  };
  const kind = isAlbum ? "radio" : "checkbox";
  const marked = (format) => (isAlbum ? value.formats[0] === format : value.formats.includes(format));
  return html`<fieldset class="group"><legend>${c.formats}</legend>
    <div class="checks short">${FORMATS.map((format) => html`<label><input type=${kind} name="${id}-format" checked=${marked(format)} onChange=${(event) => toggle(format, event.target.checked)} /> ${format.toUpperCase()}</label>`)}</div>
    <div class="field-row">
      <div class="field"><label for="${id}-bits">${c.bits}</label><select id="${id}-bits" value=${value.bitDepth} onChange=${(event) => change({ bitDepth: event.target.value })}>
        ${Object.entries(c.bit).map(([bits, label]) => html`<option value=${bits}>${label}</option>`)}</select></div>
      <div class="field"><label for="${id}-rate">${c.rate}</label><select id="${id}-rate" value=${value.sampleRate} onChange=${(event) => change({ sampleRate: event.target.value })}>
        <option value="keep">${c.keep}</option>${["44100", "48000", "96000"].map((rate) => html`<option value=${rate}>${Number(rate) / 1000} kHz</option>`)}</select></div>
    </div>
    ${!isAlbum && html`<div class="checks"><label><input type="checkbox" checked=${value.stems} onChange=${(event) => change({ stems: event.target.checked })} /> ${c.stems}</label>
      <label title=${c.conductorNote}><input type="checkbox" checked=${value.conductor} onChange=${(event) => change({ conductor: event.target.checked })} /> ${c.conductor}</label></div>`}
  </fieldset>`;
}

/** A job's options in a few words. */
export function optionWords(options, empty = texts.history.settingsPlain) {
  const said = [];
  if (options.goal) said.push(`“${options.goal}”`);
  const loudness = options.target ?? options.target_lufs ?? options.preset;
  if (loudness !== undefined) said.push(Number.isFinite(loudness) ? `${loudness} LUFS`.replace("-", "−") : String(loudness));
  if (options.true_peak_limit_db !== undefined) said.push(`${options.true_peak_limit_db} dBTP`.replace("-", "−"));
  for (const each of options.reference ?? []) said.push(each.profile?.replace(/^genre:/, "") ?? c.reference.toLowerCase());
  for (const [name, share] of Object.entries(options.amounts ?? {})) said.push(`${c[name] ?? name} ${percent(share)}`);
  const without = Object.entries(options.repairs ?? {}).filter(([, share]) => share === 0).map(([name]) => texts.repair[name] ?? name);
  if (without.length) said.push(`− ${without.join(", ")}`);
  if (options.stems) said.push(`${options.stems} stems`);
  if (options.conductor) said.push(c.conductor.toLowerCase());
  const formats = [options.output_format ?? []].flat();
  if (formats.length > 1 || (formats.length && formats[0] !== "wav")) said.push(formats.join(", ").toUpperCase());
  return said.length ? said.join(" · ") : empty;
}

