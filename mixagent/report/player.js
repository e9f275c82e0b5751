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

    function position() {
      if (!playing) return offsetS;
      const heard = offsetS + Math.max(context.currentTime - startedAt, 0);
      if (!loop || heard < loop[1]) return Math.min(heard, durationS);
      return loop[0] + ((heard - loop[0]) % (loop[1] - loop[0]));
    }

    async function load() {
      context = new AudioContext();
      const decode = (name) => {
        const text = atob(find(`mp3-${name}`).textContent);
        const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
        return context.decodeAudioData(bytes.buffer);
      };
      const decoded = await Promise.all(SIDES.map(decode));
      buffers = Object.fromEntries(SIDES.map((name, k) => [name, decoded[k]]));
      durationS = Math.min(durationS, ...decoded.map((buffer) => buffer.duration));
    }

    function startNodes() {
      const at = context.currentTime + 0.02;
      nodes = {};
      for (const name of SIDES) {
        const source = new AudioBufferSourceNode(context, { buffer: buffers[name] });
        const gain = new GainNode(context, { gain: gainFor(name) });
        if (loop) Object.assign(source, { loop: true, loopStart: loop[0], loopEnd: loop[1] });
        source.connect(gain).connect(context.destination);
        source.start(at, offsetS);
        nodes[name] = { source, gain };
      }
      nodes[SIDES.at(-1)].source.onended = () => { if (playing && !loop) { stop(); offsetS = 0; draw(); } };
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
      if (!buffers) {
        show("loading", "Decoding…");
        loading ??= load();
        try { await loading; } catch (error) {
          loading = null;
          show("failed", "Play");
          gainsText.textContent = `This browser could not decode the sound: ${error.message}`;
          return;
        }
      }
      await context.resume();
      if (playing) return;
      if (offsetS >= durationS - 0.01) offsetS = loop ? loop[0] : 0;
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
      offsetS = Math.min(Math.max(seconds, 0), durationS);
      if (again) startNodes();
      draw();
    }

    function applyGains() {
      if (nodes) {
        const now = context.currentTime;
        for (const name of SIDES) {
          const gain = nodes[name].gain.gain;
          gain.cancelScheduledValues(now);
          gain.setValueAtTime(gain.value, now);
          gain.linearRampToValueAtTime(gainFor(name), now + SWITCH_S);
        }
      }
      for (const lane of lanes) lane.style.setProperty("--scale", level(lane.dataset.side));
      gainsText.textContent = gainWords();
    }

    function gainWords() {
      const lowered = WHOLE.filter((name) => matchDb(name) < -0.05);
      const decibels = (name) => `${fixed(-matchDb(name))} dB`;
      if (blind) return "Loudness is matched.";
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

    function choose(name) {
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
    seek.addEventListener("input", () => jump(Number(seek.value)));
    document.addEventListener("keydown", keys);
    drags();
    choose(side);
    draw();

    root.state = () => ({
      playing, side, loop, positionS: position(), durationS,
      gains: nodes && Object.fromEntries(SIDES.map((name) => [name, nodes[name].gain.gain.value])),
      lengths: buffers && Object.fromEntries(SIDES.map((name) => [name, buffers[name].length])),
    });
    return { sides: SIDES, side: () => side, choose, setBlind, setLoop, play, toggle };
  }

  /* Buttons that play what a repair changed, around the passage where it changed most. */
  function hearRepairs(player) {
    for (const button of document.querySelectorAll(".hear-repair")) {
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

  return { attach, hearRepairs, readout, band, bandDb, clock, fixed };
})();
