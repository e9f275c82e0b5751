/* The report's player, fed from the service. */
/* global listening */
import { clock } from "./format.js";
import { opener } from "./sounds.js";
import { texts } from "./texts.js";
import { Component, html } from "./vendor/preact.js";
import { Wave, usePeaks } from "./waveform.js";

const LETTERS = "ABCDEFGHIJ";
let count = 0;

/* Who speaks to the machine, or rests a hand on it, can turn the keys of one letter off. */
function areKeysOn() {
  try { return localStorage.getItem("mixagent.keys") !== "off"; } catch { return true; }
}

function keepKeys(isOn) {
  try { localStorage.setItem("mixagent.keys", isOn ? "on" : "off"); } catch { /* It lasts as long as the player. */ }
}

/** Gains in dB that bring every side to the quietest one's loudness, so nothing is turned up. */
export function matched(sides) {
  const heard = sides.map((side) => side.lufs).filter(Number.isFinite);
  const level = Math.min(...heard);
  return sides.map((side) => (Number.isFinite(side.lufs) ? level - side.lufs : 0));
}

/** Ticks of a time axis: about ten, in percent. */
function ticks(startS, lengthS) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((each) => lengthS / each <= 9) ?? 1200;
  const found = [];
  for (let at = Math.ceil(startS / step) * step; at < startS + lengthS * 0.97; at += step) {
    found.push({ percent: 100 * (at - startS) / lengthS, label: clock(at), minor: found.length % 2 === 1 });
  }
  return found;
}

const Lane = ({ side, letter, heard, lengthS }) => html`
  <div class=${heard ? "lane heard" : "lane"} data-side=${side.name} style=${{ "--side": `var(--${side.colour})` }}>
    <span class="lane-name">${letter} ${side.label}</span>
    <${Wave} path=${usePeaks(side.peaksUrl, side.shiftS ?? 0, lengthS)} /></div>`;

/** The player of sides `{name, label, colour, url, peaksUrl, lufs, shiftS}`; `onReady` gets what a page may ask of it.
 * It is drawn once: what is in it then belongs to the report's script. */
export class Player extends Component {
  id = `player-${count += 1}`;

  shouldComponentUpdate() { return false; }

  componentDidMount() {
    const { sides, lengthS, rate, onReady } = this.props;
    if (typeof AudioContext !== "function") return;
    const timed = sides.map((side) => ({ ...side, durationS: lengthS }));
    this.player = listening.attach(this.root, { open: opener(timed), rate, words: texts.player });
    onReady?.(this.player);
  }

  componentWillUnmount() {
    this.props.onReady?.(null);
    this.player?.detach();
  }

  render({ sides, startS = 0, lengthS, first }) {
    const p = texts.player, { id } = this, gains = matched(sides);
    return html`<div class="player" ref=${(root) => { this.root = root; }} data-state="idle" data-duration=${lengthS} data-start=${startS}>
    <div class="waves" data-part="waves">
      ${sides.map((side, k) => html`<${Lane} side=${side} letter=${LETTERS[k]} heard=${side.name === first} lengthS=${lengthS} />`)}
      <div class="loop" data-part="loop" hidden></div><div class="playhead" data-part="playhead"></div>
    </div>
    <div class="wave-times" aria-hidden="true">${ticks(startS, lengthS).map((tick) => html`<span class=${tick.minor ? "minor" : ""} style=${{ left: `${tick.percent}%` }}>${tick.label}</span>`)}</div>
    <label class="sr" for="${id}-seek">${p.position}</label>
    <input class="seek" id="${id}-seek" data-part="seek" type="range" min="0" max=${lengthS} step="any" aria-describedby="${id}-keys" />
    <div class="controls">
      <button class="play" data-part="play" type="button" aria-pressed="false"><span class="icon" aria-hidden="true"></span><span data-part="play-label">${p.play}</span></button>
      <fieldset class=${sides.length > 3 ? "sides many" : "sides"}><legend class="sr">${p.sides}</legend>
        ${sides.map((side, k) => html`<label style=${{ "--side": `var(--${side.colour})` }}><input type="radio" name="${id}-side" value=${side.name} data-letter=${LETTERS[k]}
          data-label=${side.label} data-match-db=${gains[k]} checked=${side.name === first} /><span><b>${LETTERS[k]}</b> ${side.label}</span></label>`)}
      </fieldset>
      <output class="time" data-part="time" aria-live="off">${clock(startS)}</output>
      <label class="switch"><input type="checkbox" data-part="match" checked /> ${p.match}</label>
      <button class="plain" data-part="loop-button" type="button" aria-pressed="false">${p.loop}</button>
      <label class="switch keys-on" title=${p.keysOnNote}><input type="checkbox" data-part="keys-on" checked=${areKeysOn()} onChange=${(event) => keepKeys(event.target.checked)} /> ${p.keysOn}</label>
    </div>
    <p class="gains" data-part="gains" aria-live="polite">${typeof AudioContext === "function" ? "" : texts.errors.noAudio}</p>
    <p class="keys" id="${id}-keys"><kbd>Space</kbd> ${p.keys.play} ${sides.map((_, k) => html`<kbd>${LETTERS[k]}</kbd>`)} ${p.keys.switch} <kbd>←</kbd><kbd>→</kbd> ${p.keys.jump} <kbd>L</kbd> ${p.keys.loop} <kbd>M</kbd> ${p.keys.match}. ${p.keysHint}</p>
  </div>`;
  }
}
