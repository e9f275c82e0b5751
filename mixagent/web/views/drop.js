/* Files from a drop, a click or a folder. */
import { size } from "../format.js";
import { say } from "../parts.js";
import { texts } from "../texts.js";
import { html, useRef } from "../vendor/preact.js";

const AUDIO = /\.(wav|wave|flac|mp3|ogg|oga|opus|m4a|aac|aiff?|aifc|wma|wv|ape|caf|w64|mp4|mka|webm|au)$/i;

/** The files of a drop, those in folders too: of folders, only what is called like a song. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = await Promise.all(entries.map((entry) => (entry.isFile ? fileOf(entry).then((file) => [file]) : inFolder(entry))));
  return found.flat();
}

const fileOf = (entry) => new Promise((done, failed) => { entry.file(done, failed); });

async function inFolder(folder) {
  const reader = folder.createReader(), entries = [];
  for (;;) {
    const some = await new Promise((done, failed) => { reader.readEntries(done, failed); });
    if (!some.length) break;
    entries.push(...some);
  }
  const inside = entries.filter((entry) => !entry.name.startsWith(".") && (entry.isDirectory || AUDIO.test(entry.name)));
  inside.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  return (await Promise.all(inside.map((entry) => (entry.isFile ? fileOf(entry).then((file) => [file]) : inFolder(entry))))).flat();
}

/** A button that asks for files, or for all songs of a folder. */
export function FileButton({ onFiles, folder = false, multiple = true, class: name, children }) {
  const input = useRef();
  const chosen = (event) => {
    const files = [...event.target.files].filter((file) => !folder || AUDIO.test(file.name));
    event.target.value = "";
    if (files.length) onFiles(files);
    else say(texts.drop.noneIn);
  };
  return html`<button type="button" class=${name} onClick=${() => input.current.click()}>${children}</button>
    <input class="sr file-input" ref=${input} type="file" multiple=${multiple} webkitdirectory=${folder || undefined} tabindex="-1" aria-hidden="true" onChange=${chosen} />`;
}

export const DropZone = ({ onFiles, about, words, multiple = true }) => html`<div class="drop" data-drop="zone">
  <svg class="drop-mark" viewBox="0 0 120 60" aria-hidden="true"><path d="M4 26v8M14 18v24M24 24v12M34 10v40M44 20v20M54 4v52M64 16v28M74 22v16M84 8v44M94 20v20M104 26v8M114 22v16" /></svg>
  <p class="drop-words">${words}</p>
  <div class="drop-buttons"><${FileButton} onFiles=${onFiles} multiple=${multiple} class="primary">${multiple ? texts.drop.choose : texts.drop.chooseOne}<//>
    ${multiple && html`<${FileButton} folder onFiles=${onFiles} class="plain-button">${texts.drop.chooseFolder}<//>`}</div>
  <p class="hint">${texts.drop.limits(size(about.limits.upload_bytes), Math.floor(about.limits.duration_s / 60))}</p></div>`;
