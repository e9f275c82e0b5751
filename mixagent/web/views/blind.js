/* A blind test between two sides of the player: the names are hidden until it is over. */
/* global blindTesting */
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const b = texts.blind, { MODES } = blindTesting;
const TRIALS = 12;

export function BlindTest({ player, sides }) {
  const [pair, setPair] = useState([sides[0].name, sides.at(-1).name]), [count, setCount] = useState(TRIALS);
  const [run, setRun] = useState(null), [score, setScore] = useState(null);
  const focus = useRef();
  const next = (trials) => {
    const heard = MODES.abx.trial(pair);
    player.choose(heard.A);
    setRun({ trials, heard, hears: "A" });
  };
  const start = () => {
    setScore(null);
    player.setBlind(true);
    next([]);
    player.play();
  };
  const finish = (trials) => {
    player.setBlind(false);
    player.choose(pair[1]);
    setRun(null);
    setScore({ ...MODES.abx.score(trials), pair });
  };
  const hear = (letter) => {
    player.choose(run.heard[letter]);
    setRun({ ...run, hears: letter });
  };
  const answer = (k) => {
    const trials = [...run.trials, MODES.abx.judge(run.heard, k)];
    if (trials.length >= count) finish(trials);
    else next(trials);
  };
  useEffect(() => {
    if (!run) return undefined;
    const keys = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select, textarea")) return;
      const letter = event.key.toUpperCase();
      if (MODES.abx.hear.includes(letter)) hear(letter);
      else if (event.key === "1" || event.key === "2") answer(Number(event.key) - 1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    document.addEventListener("keydown", keys, true);
    return () => document.removeEventListener("keydown", keys, true);
  }, [run]);
  useEffect(() => { if (run) focus.current?.focus(); }, [run?.trials.length]);
  const called = (name) => sides.find((side) => side.name === name)?.label;
  return html`<section class="blind" aria-labelledby="blind-title"><h2 id="blind-title">${b.title}</h2><p class="lead">${b.lead}</p>
    ${run ? html`<p class="trial" tabindex="-1" ref=${focus}>${b.trial(run.trials.length + 1, count)}</p>
      <div class="row hear" role="group" aria-label=${b.hear}>${MODES.abx.hear.map((letter) => html`<button type="button" aria-pressed=${run.hears === letter} onClick=${() => hear(letter)}>${letter}</button>`)}</div>
      <div class="row answers" role="group" aria-label=${b.answer}><button type="button" onClick=${() => answer(0)}>1 ${b.isA}</button><button type="button" onClick=${() => answer(1)}>2 ${b.isB}</button></div>
      <div class="row"><button type="button" onClick=${() => finish(run.trials)}>${b.stop}</button></div>`
    : html`<div class="field-row">
      ${sides.length > 2 && [0, 1].map((k) => html`<div class="field"><label for="blind-${k}">${"AB"[k]}</label><select id="blind-${k}" value=${pair[k]} onChange=${(event) => setPair(pair.with(k, event.target.value))}>
        ${sides.map((side) => html`<option value=${side.name} disabled=${side.name === pair[1 - k]}>${side.label}</option>`)}</select></div>`)}
      <div class="field narrow"><label for="blind-count">${b.trials}</label><input id="blind-count" type="number" min="1" max="50" value=${count} onChange=${(event) => setCount(Math.min(Math.max(Number(event.target.value) || TRIALS, 1), 50))} /></div>
      <button type="button" class="plain-button" onClick=${start}>${b.start}</button></div>`}
    <div aria-live="polite">${score && (score.count ? html`<p class="score">${b.score(score.correct, score.count, score.p < 0.001 ? b.least : score.p.toFixed(3))}</p>
      <p class="lead">${b.against(...score.pair.map(called))}. ${score.p < 0.05 ? b.heard : b.notHeard}</p>` : html`<p class="lead">${b.none}</p>`)}</div>
  </section>`;
}
