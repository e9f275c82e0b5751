"use strict";
/* What the pages share: a player of any number of sides that switches between them at one playhead. */
const listening = (() => {
  const SWITCH_S = 0.01;
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const fixed = (value, digits = 1) => value.toFixed(digits).replace("-", "\u2212");
  const find = (id) => document.getElementById(id);

  /* Brings the player to life; gives what a page may ask of it. */
  function attach(root) {
    const [waves, playhead, loopBox, seek, time] = ["waves", "playhead", "loop", "seek", "time"].map(find);
    const [playButton, playLabel, matchBox, loopButton, gainsText] =
      ["play", "play-label", "match", "loop-button", "gains"].map(find);
    const radios = [...root.querySelectorAll("input[name=side]")];
    const lanes = [...root.querySelectorAll(".lane")];
    const SIDES = radios.map((radio) => radio.value);
    const of = Object.fromEntries(radios.map((radio) => [radio.value, radio.dataset]));
    const startS = Number(root.dataset.start);
    const stems = stemMixer(find("stems"));
    let durationS = Number(root.dataset.duration);
    let context = null, buffers = null, nodes = null, loading = null;
    let side = radios.find((radio) => radio.checked).value;
    let offsetS = 0, startedAt = 0, playing = false, loop = null, blind = false;

    /* What one side lost or got is no side of its own: it plays at the level of the first, raised as its label says. */
    const isAlone = (name) => of[name].raisedDb !== undefined;
    const WHOLE = SIDES.filter((name) => !isAlone(name));
    const matchDb = (name) => Number(of[name].matchDb);
    const level = (name) => 10 ** ((matchBox.checked ? matchDb(name) : 0) / 20);
    const gainFor = (name) => (name === side ? level(name) : 0);

    /* What is repeated: the loop that was set, and of stems what the page holds of them. */
    function range() {
      if (!stems.on()) return loop;
      const [from, to] = stems.span;
      if (loop && loop[1] > from && loop[0] < to) return [Math.max(loop[0], from), Math.min(loop[1], to)];
      return from < 0.05 && to > durationS - 0.05 ? null : [from, to];
    }

    function position() {
      if (!playing) return offsetS;
      const heard = offsetS + Math.max(context.currentTime - startedAt, 0), held = range();
      if (!held || heard < held[1]) return Math.min(heard, durationS);
      return held[0] + ((heard - held[0]) % (held[1] - held[0]));
    }

    const decode = (id) => {
      const bytes = Uint8Array.from(atob(find(id).textContent), (c) => c.charCodeAt(0));
      return context.decodeAudioData(bytes.buffer);
    };

    async function load() {
      context = new AudioContext();
      const decoded = await Promise.all(SIDES.map((name) => decode(`mp3-${name}`)));
      buffers = Object.fromEntries(SIDES.map((name, k) => [name, decoded[k]]));
      durationS = Math.min(durationS, ...decoded.map((buffer) => buffer.duration));
    }

    function startNodes() {
      const at = context.currentTime + 0.02, held = range();
      if (held && (offsetS < held[0] || offsetS >= held[1])) offsetS = held[0];
      const started = (buffer, level, begin = 0) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        const gain = new GainNode(context, { gain: level });
        if (held) Object.assign(source, { loop: true, loopStart: held[0] - begin, loopEnd: held[1] - begin });
        source.connect(gain).connect(context.destination);
        source.start(at, Math.max(offsetS - begin, 0));
        return { source, gain };
      };
      nodes = stems.on()
        ? stems.started((buffer, key) => started(buffer, stems.gain(key, side, matchBox.checked), stems.span[0]))
        : Object.fromEntries(SIDES.map((name) => [name, started(buffers[name], gainFor(name))]));
      const last = Object.values(nodes).at(-1).source;
      last.onended = () => { if (playing && !range()) { stop(); offsetS = 0; draw(); } };
      startedAt = at;
      playing = true;
    }

    function stopNodes() {
      offsetS = position();
      playing = false;
      if (nodes) for (const { source } of Object.values(nodes)) { source.onended = null; source.stop(); }
      nodes = null;
    }

    async function play() {
      if (!buffers || (stems.on() && !stems.decoded())) {
        show("loading", "Decoding…");
        try {
          await (loading ??= load());
          if (stems.on()) await stems.load(decode);
        } catch (error) {
          if (!buffers) loading = null;
          show("failed", "Play");
          gainsText.textContent = `This browser could not decode the sound: ${error.message}`;
          return;
        }
      }
      await context.resume();
      if (playing) return;
      if (offsetS >= durationS - 0.01) offsetS = range()?.[0] ?? 0;
      startNodes();
      show("playing", "Pause");
      requestAnimationFrame(tick);
    }

    function stop() {
      stopNodes();
      show("idle", "Play");
    }

    const toggle = () => (playing ? stop() : play());

    function jump(seconds) {
      const again = playing;
      if (playing) stopNodes();
      const [from, to] = range() ?? [0, durationS];
      offsetS = Math.min(Math.max(seconds, 0), durationS);
      if (stems.on() && (offsetS < from || offsetS > to)) offsetS = from;
      if (again) startNodes();
      draw();
    }

    function applyGains() {
      if (nodes) {
        const now = context.currentTime;
        for (const [name, { gain: { gain } }] of Object.entries(nodes)) {
          const wanted = stems.on() ? stems.gain(name, side, matchBox.checked) : gainFor(name);
          gain.cancelScheduledValues(now);
          gain.setValueAtTime(gain.value, now);
          gain.linearRampToValueAtTime(wanted, now + SWITCH_S);
        }
      }
      for (const lane of lanes) lane.style.setProperty("--scale", level(lane.dataset.side));
      gainsText.textContent = gainWords();
    }

    function gainWords() {
      const lowered = WHOLE.filter((name) => matchDb(name) < -0.05);
      const decibels = (name) => `${fixed(-matchDb(name))} dB`;
      if (blind) return "Loudness is matched.";
      if (stems.on()) return stems.words(side, matchBox.checked);
      if (isAlone(side)) {
        const raised = Number(of[side].raisedDb);
        const loud = raised ? `${raised} dB louder than` : "as loud as";
        return `Only what was taken out or added, ${loud} it is in ${of[WHOLE[0]].label}.`;
      }
      if (!lowered.length) return `${WHOLE.length > 2 ? "All" : "Both"} sides are equally loud as they are.`;
      if (!matchBox.checked) return "Real levels, as the files are.";
      if (lowered.length === 1) return `${of[lowered[0]].label} plays ${decibels(lowered[0])} quieter than its file, to match.`;
      const listed = lowered.map((name) => `${of[name].letter} ${decibels(name)}`).join(", ");
      return `Quieter than their files, to match: ${listed}.`;
    }

    /* Solo and mute play the stems' own sound in the place of the sides, and back. */
    function changeStems(change) {
      const before = stems.on(), again = playing;
      change();
      if (before === stems.on()) { applyGains(); return; }
      if (again) stopNodes();
      if (stems.on() && isAlone(side)) side = WHOLE.at(-1);
      choose(side);
      jump(offsetS);
      if (again) play();
    }

    function choose(name) {
      if (isAlone(name) && stems.on()) changeStems(stems.clear);
      side = name;
      for (const radio of radios) radio.checked = !blind && radio.value === name;
      for (const lane of lanes) lane.classList.toggle("heard", lane.dataset.side === name);
      applyGains();
      if (!blind) root.dispatchEvent(new CustomEvent("heard", { detail: name }));
    }

    /* Hides all that tells the sides apart; what plays is then chosen by the page alone. */
    function setBlind(on) {
      blind = on;
      root.dataset.blind = String(on);
      if (on) matchBox.checked = true;
      for (const input of [matchBox, ...radios]) input.disabled = on;
      choose(side);
    }

    function setLoop(range) {
      loop = range && range[1] - range[0] >= 0.2 ? range : null;
      loopBox.hidden = !loop;
      loopButton.setAttribute("aria-pressed", String(Boolean(loop)));
      loopButton.textContent = loop ? `Loop ${clock(startS + loop[0])}–${clock(startS + loop[1])}` : "Loop";
      if (loop) {
        loopBox.style.left = `${(100 * loop[0]) / durationS}%`;
        loopBox.style.width = `${(100 * (loop[1] - loop[0])) / durationS}%`;
      }
      const at = position();
      jump(loop && (at < loop[0] || at >= loop[1]) ? loop[0] : at);
    }

    const toggleLoop = () => {
      const at = position();
      setLoop(loop ? null : [Math.max(Math.min(at, durationS - 8), 0), Math.min(at + 8, durationS)]);
    };

    function show(state, label) {
      root.dataset.state = state;
      playLabel.textContent = label;
      playButton.setAttribute("aria-pressed", String(state === "playing"));
      draw();
    }

    function draw() {
      const at = position();
      playhead.style.left = `${(100 * at) / durationS}%`;
      seek.value = at;
      time.textContent = clock(startS + at);
      seek.setAttribute("aria-valuetext", `${clock(startS + at)} of ${clock(startS + durationS)}`);
    }

    function tick() {
      if (!playing) return;
      draw();
      requestAnimationFrame(tick);
    }

    function drags() {
      let from = null;
      const at = (event) => {
        const box = waves.getBoundingClientRect();
        return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * durationS;
      };
      waves.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        from = at(event);
        waves.setPointerCapture(event.pointerId);
      });
      waves.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const to = at(event), width = waves.getBoundingClientRect().width;
        if (Math.abs(to - from) / durationS * width > 8) setLoop([Math.min(from, to), Math.max(from, to)]);
        else jump(to);
        from = null;
      });
      waves.addEventListener("pointercancel", () => { from = null; });
    }

    function keys(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target;
      const own = target.closest("button, summary, a, select, input[type=checkbox], input[type=number]");
      const letter = event.key.toUpperCase();
      const named = !blind && SIDES.find((name) => of[name].letter === letter);
      if (event.key === " " && !own) toggle();
      else if (event.key === " " || target.closest("select, input[type=number]")) return;
      else if (named) choose(named);
      else if (letter === "L") toggleLoop();
      else if (letter === "M" && !blind) matchBox.click();
      else if (event.key === "ArrowLeft" && target.name !== "side") jump(position() - 5);
      else if (event.key === "ArrowRight" && target.name !== "side") jump(position() + 5);
      else return;
      event.preventDefault();
    }

    playButton.addEventListener("click", toggle);
    loopButton.addEventListener("click", toggleLoop);
    matchBox.addEventListener("change", applyGains);
    for (const radio of radios) radio.addEventListener("change", () => choose(radio.value));
    stems.attach(changeStems);
    seek.addEventListener("input", () => jump(Number(seek.value)));
    document.addEventListener("keydown", keys);
    drags();
    choose(side);
    draw();

    root.state = () => ({
      playing, side, loop, positionS: position(), durationS,
      gains: nodes && Object.fromEntries(Object.entries(nodes).map(([name, { gain }]) => [name, gain.gain.value])),
      lengths: buffers && Object.fromEntries(SIDES.map((name) => [name, buffers[name].length])),
    });
    const solo = (name) => changeStems(() => { stems.clear(); stems.solo(name); });
    return { sides: SIDES, side: () => side, choose, setBlind, setLoop, play, toggle, solo };
  }

  /* The stems of the mix, before and after their strips: which are heard, and how loud. */
  function stemMixer(box) {
    const rows = box ? [...box.querySelectorAll("li")] : [];
    const named = Object.fromEntries(rows.map((row) => [row.dataset.stem, row]));
    const solos = new Set(), mutes = new Set();
    const keys = rows.flatMap(({ dataset: { stem } }) =>
      ["before", "after"].map((version) => `stem-${stem}-${version}`).filter((id) => document.getElementById(id)));
    let buffers = null, loading = null;

    const on = () => solos.size + mutes.size > 0;
    const heard = (name) => (solos.size ? solos.has(name) : !mutes.has(name));
    const decibels = (data, side) => Number(side === "before" ? data.beforeDb : data.afterDb);

    /* One stem alone is matched to itself; more of them as the whole mix is, so that the balance is heard. */
    function matchDb(side) {
      const [alone] = solos;
      const own = solos.size === 1 ? decibels(named[alone].dataset, side) : 0;
      return decibels(box.dataset, side) + own;
    }

    function gain(key, side, matched) {
      const [, name, version] = key.match(/^stem-(.*)-(before|after)$/);
      const played = keys.includes(`stem-${name}-after`) ? side : "before";
      return heard(name) && version === played ? 10 ** ((matched ? matchDb(side) : 0) / 20) : 0;
    }

    function words(side, matched) {
      const names = rows.filter((row) => heard(row.dataset.stem)).map((row) => row.dataset.label);
      const listed = names.length ? names.join(", ") : "Nothing";
      const when = side === "before" ? "before its strip" : "behind its strip";
      const [alone] = solos;
      if (solos.size === 1 && !keys.includes(`stem-${alone}-after`)) return `${listed} alone: nothing was done to it.`;
      const level = matched ? "equally loud before and after" : "at its real level";
      if (solos.size === 1) return `${listed} alone, ${when}, ${level}.`;
      return `${listed}, ${side === "before" ? "before" : "behind"} the strips${matched ? ", the mixes equally loud" : ", at real levels"}.`;
    }

    function mark() {
      for (const row of rows) {
        const name = row.dataset.stem;
        row.querySelector(".solo").setAttribute("aria-pressed", String(solos.has(name)));
        row.querySelector(".mute").setAttribute("aria-pressed", String(mutes.has(name)));
        row.classList.toggle("quiet", on() && !heard(name));
      }
      if (box) box.querySelector("#whole-mix").disabled = !on();
    }

    const flip = (set, name) => { if (!set.delete(name)) set.add(name); mark(); };
    const clear = () => { solos.clear(); mutes.clear(); mark(); };

    async function load(decode) {
      loading ??= Promise.all(keys.map(decode));
      const decoded = await loading;
      buffers = Object.fromEntries(keys.map((key, k) => [key, decoded[k]]));
    }

    /* `change` does something to what is heard and sees to the rest. */
    function attach(change) {
      for (const row of rows) {
        const name = row.dataset.stem;
        row.querySelector(".solo").addEventListener("click", () => change(() => flip(solos, name)));
        row.querySelector(".mute").addEventListener("click", () => change(() => flip(mutes, name)));
      }
      if (box) box.querySelector("#whole-mix").addEventListener("click", () => change(clear));
    }

    return {
      on, gain, words, clear, load, attach,
      solo: (name) => flip(solos, name),
      span: box ? [Number(box.dataset.from), Number(box.dataset.to)] : [0, 0],
      decoded: () => buffers !== null,
      started: (start) => Object.fromEntries(keys.map((key) => [key, start(buffers[key], key)])),
    };
  }

  /* Buttons that play a stem alone. */
  function hearStems(player) {
    for (const button of document.querySelectorAll(".hear-stem")) {
      button.addEventListener("click", () => { player.solo(button.dataset.stem); player.play(); });
    }
  }

  /* Buttons that play what a repair changed, around the passage where it changed most. */
  function hearRepairs(player) {
    for (const button of document.querySelectorAll(".hear-repair[data-side]")) {
      button.addEventListener("click", () => {
        const { side, from, to } = button.dataset;
        player.choose(side);
        player.setLoop(from === undefined ? null : [Number(from), Number(to)]);
        player.play();
      });
    }
  }

  /* Writes what `show` says of the place under the pointer, 0 to 1 over the chart's width. */
  function readout(id, output, show) {
    const plot = document.querySelector(`#${id} .plot`);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      output.textContent = show(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
    });
    plot.addEventListener("pointerleave", () => { output.textContent = ""; });
  }

  /* The third octave at a place of the frequency axis: its index and how it is called. */
  function band(analyses, share) {
    const [{ third_octave_hz: centres }] = analyses;
    const hz = 22 * (20000 / 22) ** share;
    const count = Math.min(...analyses.map((each) => each.third_octave_hz.length));
    const near = (k) => Math.abs(Math.log(centres[k] / hz));
    let best = 0;
    for (let k = 1; k < count; k += 1) if (near(k) < near(best)) best = k;
    const name = centres[best];
    const label = name >= 1000 ? `${fixed(name / 1000, name < 10000 ? 2 : 1)} kHz` : `${fixed(name, 0)} Hz`;
    return [best, label];
  }

  /* A third octave's level in dB, as if the song stood at 0 LUFS. */
  const bandDb = (analysis, k) => 10 * Math.log10(
    10 ** (analysis.third_octave_mid_db[k] / 10) + 10 ** (analysis.third_octave_side_db[k] / 10))
    - (analysis.integrated_lufs ?? 0);

  return { attach, hearRepairs, hearStems, readout, band, bandDb, clock, fixed };
})();
