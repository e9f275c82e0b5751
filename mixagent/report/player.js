"use strict";
(() => {
  const root = document.getElementById("player");
  const SWITCH_S = 0.01;
  const SIDES = ["before", "after"];
  const report = JSON.parse(document.getElementById("report").textContent);
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const fixed = (value, digits = 1) => value.toFixed(digits).replace("-", "\u2212");

  if (root) player();
  readouts();

  function player() {
    const find = (id) => document.getElementById(id);
    const [waves, playhead, loopBox, seek, time] = ["waves", "playhead", "loop", "seek", "time"].map(find);
    const [playButton, playLabel, matchBox, loopButton, gainsText] =
      ["play", "play-label", "match", "loop-button", "gains"].map(find);
    const radios = [...root.querySelectorAll("input[name=side]")];
    const startS = Number(root.dataset.start);
    const matchDb = { before: Number(root.dataset.matchBefore), after: Number(root.dataset.matchAfter) };
    let durationS = Number(root.dataset.duration);
    let context = null, buffers = null, nodes = null, loading = null;
    let side = "after", offsetS = 0, startedAt = 0, playing = false, loop = null;

    const level = (name) => 10 ** ((matchBox.checked ? matchDb[name] : 0) / 20);
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
        const element = find(`mp3-${name}`);
        const text = atob(element.textContent);
        const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
        return context.decodeAudioData(bytes.buffer);
      };
      const decoded = await Promise.all(SIDES.map(decode));
      buffers = { before: decoded[0], after: decoded[1] };
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
      nodes.after.source.onended = () => { if (playing && !loop) { stop(); offsetS = 0; draw(); } };
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
      for (const name of SIDES) root.style.setProperty(`--scale-${name}`, level(name));
      const quiet = SIDES.find((name) => matchDb[name] < -0.05);
      gainsText.textContent = !quiet ? "Both sides are equally loud as they are."
        : matchBox.checked ? `${quiet === "after" ? "After" : "Before"} plays ${fixed(-matchDb[quiet])} dB quieter than its file, to match.`
        : "Real levels, as the files are.";
    }

    function choose(name) {
      side = name;
      root.dataset.side = name;
      for (const radio of radios) radio.checked = radio.value === name;
      applyGains();
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
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target;
      const own = target.closest("button, summary, a, input[type=checkbox]");
      if (event.key === " " && !own) toggle();
      else if (event.key === "a" || event.key === "A") choose("before");
      else if (event.key === "b" || event.key === "B") choose("after");
      else if (event.key === "l" || event.key === "L") toggleLoop();
      else if (event.key === "m" || event.key === "M") matchBox.click();
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
  }

  function readouts() {
    const over = (id, show, output) => {
      const plot = document.querySelector(`#${id} .plot`);
      plot.addEventListener("pointermove", (event) => {
        const box = plot.getBoundingClientRect();
        output.textContent = show(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
      });
      plot.addEventListener("pointerleave", () => { output.textContent = ""; });
    };
    const { before, after } = report;
    const power = (side, k) => 10 * Math.log10(
      10 ** (side.third_octave_mid_db[k] / 10) + 10 ** (side.third_octave_side_db[k] / 10));
    const level = (side, k) => power(side, k) - (side.integrated_lufs ?? 0);
    const tone = (share) => {
      const hz = 22 * (20000 / 22) ** share;
      const count = Math.min(before.third_octave_hz.length, after.third_octave_hz.length);
      const near = (k) => Math.abs(Math.log(before.third_octave_hz[k] / hz));
      let best = 0;
      for (let k = 1; k < count; k += 1) if (near(k) < near(best)) best = k;
      const name = before.third_octave_hz[best];
      const label = name >= 1000 ? `${fixed(name / 1000, name < 10000 ? 2 : 1)} kHz` : `${fixed(name, 0)} Hz`;
      const change = level(after, best) - level(before, best);
      return `${label}: ${change >= 0 ? "+" : ""}${fixed(change)} dB`;
    };
    const loud = (share) => {
      const second = Math.min(Math.floor(share * report.input.duration_s), after.short_term_lufs.length - 1);
      const read = (side) => {
        const value = side.short_term_lufs[second];
        return value === null || value === undefined ? "–" : fixed(value);
      };
      return `${clock(Math.max(second, 0))}: ${read(before)} → ${read(after)} LUFS`;
    };
    over("spectrum", tone, document.getElementById("tone-readout"));
    over("difference", tone, document.getElementById("tone-readout"));
    over("loudness", loud, document.getElementById("loudness-readout"));
  }
})();
