"use strict";
/* What the pages share: sounds on one clock, and a player of any number of sides that switches between them. */
const listening = (() => {
  const SWITCH_S = 0.01, LEAD_S = 0.02, AHEAD_S = 10, FEED_MS = 500;
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const fixed = (value, digits = 1) => value.toFixed(digits).replace("-", "\u2212");
  const find = (id) => document.getElementById(id);

  const WORDS = {
    play: "Play",
    pause: "Pause",
    decoding: "Decoding…",
    undecodable: (why) => `This browser could not decode the sound: ${why}`,
    blind: "Loudness is matched.",
    alone: (loud, first) => `Only what was taken out or added, ${loud} it is in ${first}.`,
    louder: (db) => `${db} dB louder than`,
    asLoud: "as loud as",
    equal: (many) => `${many ? "All" : "Both"} sides are equally loud as they are.`,
    real: "Real levels, as the files are.",
    lowered: (label, db) => `${label} plays ${db} dB quieter than its file, to match.`,
    loweredSome: (list) => `Quieter than their files, to match: ${list}.`,
    loop: "Loop",
    loopOf: (from, to) => `Loop ${from}–${to}`,
    place: (at, of) => `${at} of ${of}`,
  };

  /* A sound that is decoded whole. A sound gives `piece(k)`, an AudioBuffer or the promise of one: its kth
   * stretch of `pieceS` seconds. */
  const wholeSound = (buffer) => ({ durationS: buffer.duration, pieceS: Infinity, piece: () => buffer });

  /* Sounds that run at one playhead on the clock of one context, each through a gain of its own.
   * `gainOf(name)` is a sound's gain; `onChange` is called when it starts, stops, waits or fails. */
  function transport(context, sounds, gainOf, onChange) {
    const names = Object.keys(sounds);
    const durationS = Math.min(...names.map((name) => sounds[name].durationS));
    const output = new GainNode(context);
    const gains = Object.fromEntries(names.map((name) => [name, new GainNode(context, { gain: gainOf(name) })]));
    const onFrame = (seconds) => Math.round(seconds * context.sampleRate) / context.sampleRate;
    let offsetS = 0, loop = null, wanted = false, run = null, timer = null;
    for (const name of names) gains[name].connect(output);
    output.connect(context.destination);

    function position() {
      if (!run) return offsetS;
      const heard = run.offsetS + Math.max(context.currentTime - run.at, 0);
      if (!loop || heard < loop[1]) return Math.min(heard, durationS);
      return loop[0] + ((heard - loop[0]) % (loop[1] - loop[0]));
    }

    const pieceAt = (name, placeS) => sounds[name].piece(Math.floor(placeS / sounds[name].pieceS));

    /* Starts as soon as every sound has its piece; at once where they are here. */
    function begin() {
      const pieces = names.map((name) => pieceAt(name, offsetS));
      if (!pieces.some((piece) => piece instanceof Promise)) { start(); return; }
      const placeS = offsetS;
      Promise.all(pieces).then(() => { if (wanted && !run && offsetS === placeS) begin(); }, fail);
    }

    function start() {
      const at = Math.ceil((context.currentTime + LEAD_S) * context.sampleRate) / context.sampleRate;
      run = { at, offsetS, sources: new Set() };
      run.sides = names.map((name) => ({ name, placeS: offsetS, whenS: at, waits: false }));
      feed();
      timer = setInterval(feed, FEED_MS);
      onChange();
    }

    function halt() {
      offsetS = onFrame(position());
      clearInterval(timer);
      if (run) for (const source of run.sources) { source.onended = null; source.stop(); }
      run = null;
    }

    function fail(error) {
      halt();
      wanted = false;
      onChange(error);
    }

    function feed() {
      for (const side of run.sides) feedSide(run, side);
    }

    /* Hands over what a side plays in the next seconds, a piece or a pass of the loop at a time. */
    function feedSide(mine, side) {
      const endS = loop ? loop[1] : durationS;
      while (mine === run && !side.waits && side.placeS < endS && side.whenS < context.currentTime + AHEAD_S) {
        const { pieceS } = sounds[side.name];
        const piece = pieceAt(side.name, side.placeS);
        if (piece instanceof Promise) {
          side.waits = true;
          piece.then(() => { side.waits = false; feedSide(mine, side); }, (error) => { if (mine === run) fail(error); });
          return;
        }
        const fromS = pieceS === Infinity ? side.placeS : side.placeS % pieceS;
        const lengthS = onFrame(Math.min(Math.max(piece.duration - fromS, 1 / context.sampleRate), endS - side.placeS));
        const isLast = !loop && side.placeS + lengthS >= endS - 0.5 / context.sampleRate;
        sound(mine, side, piece, fromS, lengthS, isLast && side.name === names.at(-1));
        side.whenS += lengthS;
        side.placeS = onFrame(side.placeS + lengthS);
        if (loop && side.placeS >= endS) side.placeS = loop[0];
        if (isLast) side.placeS = endS;
      }
    }

    /* What comes too late begins where it should be by now, so the sides stay together. */
    function sound(mine, side, buffer, fromS, lengthS, ends) {
      const lateS = Math.max(onFrame(context.currentTime + LEAD_S / 2 - side.whenS), 0);
      if (lateS >= lengthS) return;
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(gains[side.name]);
      source.start(side.whenS + lateS, fromS + lateS, lengthS - lateS);
      mine.sources.add(source);
      source.onended = () => {
        mine.sources.delete(source);
        if (!ends || mine !== run) return;
        halt();
        offsetS = 0;
        wanted = false;
        onChange();
      };
    }

    return {
      durationS, context, output, position,
      isPlaying: () => wanted,
      play() {
        if (wanted) return;
        if (offsetS >= durationS - 0.01) offsetS = loop ? loop[0] : 0;
        wanted = true;
        begin();
        onChange();
      },
      pause() {
        halt();
        wanted = false;
        onChange();
      },
      jump(seconds) {
        halt();
        offsetS = onFrame(Math.min(Math.max(seconds, 0), durationS));
        if (wanted) begin();
      },
      setLoop(range) {
        const at = position();
        halt();
        loop = range && range.map(onFrame);
        offsetS = loop && (at < loop[0] || at >= loop[1]) ? loop[0] : onFrame(at);
        if (wanted) begin();
      },
      applyGains() {
        const now = context.currentTime;
        for (const name of names) {
          const { gain } = gains[name];
          gain.cancelScheduledValues(now);
          gain.setValueAtTime(gain.value, now);
          gain.linearRampToValueAtTime(gainOf(name), now + SWITCH_S);
        }
      },
      gains: () => Object.fromEntries(names.map((name) => [name, gains[name].gain.value])),
      lengths: () => Object.fromEntries(names.map((name) =>
        [name, Math.round(sounds[name].durationS * context.sampleRate)])),
    };
  }

  /* A sound that a page holds itself, decoded. */
  const decoded = (context, id) =>
    context.decodeAudioData(Uint8Array.from(atob(find(id).textContent), (c) => c.charCodeAt(0)).buffer);

  async function embedded(context, names) {
    const buffers = await Promise.all(names.map((name) => decoded(context, `mp3-${name}`)));
    return Object.fromEntries(names.map((name, k) => [name, wholeSound(buffers[k])]));
  }

  /* Brings the player to life; gives what a page may ask of it.
   * `open(context, names)` gives the promise of the sounds, `rate` is the clock's in Hz, `words` as WORDS. */
  function attach(root, { open = embedded, rate, words = WORDS } = {}) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const [waves, playhead, loopBox, seek, time] = ["waves", "playhead", "loop", "seek", "time"].map(part);
    const [playButton, playLabel, matchBox, loopButton, gainsText] =
      ["play", "play-label", "match", "loop-button", "gains"].map(part);
    const radios = [...root.querySelectorAll("input[type=radio]")];
    const lanes = [...root.querySelectorAll(".lane")];
    const SIDES = radios.map((radio) => radio.value);
    const of = Object.fromEntries(radios.map((radio) => [radio.value, radio.dataset]));
    const startS = Number(root.dataset.start);
    const gone = new AbortController();
    const stems = stemMixer(root.querySelector("#stems"));
    let durationS = Number(root.dataset.duration);
    let deck = null, stemDeck = null, loading = null, placeS = 0;
    let side = radios.find((radio) => radio.checked).value;
    let loop = null, blind = false;

    /* What one side lost or got is no side of its own: it plays at the level of the first, raised as its label says. */
    const isAlone = (name) => of[name].raisedDb !== undefined;
    const WHOLE = SIDES.filter((name) => !isAlone(name));
    const matchDb = (name) => Number(of[name].matchDb);
    const level = (name) => 10 ** ((matchBox.checked ? matchDb(name) : 0) / 20);
    const gainFor = (name) => (name === side ? level(name) : 0);
    const current = () => (stems.on() ? stemDeck : deck);
    const beginS = () => (stems.on() ? stems.span[0] : 0);
    const isPlaying = () => Boolean(current()?.isPlaying());
    const position = () => (current() ? current().position() + beginS() : placeS);

    /* What is repeated: the loop that was set, and of stems what the page holds of them. */
    function range() {
      if (!stems.on()) return loop;
      const [from, to] = stems.span;
      if (loop && loop[1] > from && loop[0] < to) return [Math.max(loop[0], from), Math.min(loop[1], to)];
      return from < 0.05 && to > durationS - 0.05 ? null : [from, to];
    }

    async function load() {
      const context = new AudioContext(rate ? { sampleRate: rate } : {});
      try {
        deck = transport(context, await open(context, SIDES), gainFor, changed);
      } catch (error) {
        context.close();
        throw error;
      }
      if (gone.signal.aborted) { context.close(); return; }
      durationS = Math.min(durationS, deck.durationS);
      settle();
    }

    async function loadStems() {
      const { context } = deck, sounds = await stems.sounds((id) => decoded(context, id));
      stemDeck ??= transport(context, sounds, (key) => stems.gain(key, side, matchBox.checked), changed);
      settle();
    }

    /* Brings what plays to the place and the loop that the player shows. */
    function settle() {
      current()?.setLoop(range()?.map((seconds) => seconds - beginS()) ?? null);
      jump(placeS);
    }

    function failed(error) {
      show("failed", words.play);
      gainsText.textContent = words.undecodable(error.message);
    }

    function changed(error) {
      if (error) { failed(error); return; }
      show(isPlaying() ? "playing" : "idle", isPlaying() ? words.pause : words.play);
      if (isPlaying()) requestAnimationFrame(tick);
    }

    async function play() {
      if (!current()) {
        show("loading", words.decoding);
        try {
          await (loading ??= load());
          if (stems.on()) await loadStems();
        } catch (error) {
          if (!deck) loading = null;
          failed(error);
          return;
        }
        if (gone.signal.aborted) return;
      }
      await deck.context.resume();
      current()?.play();
    }

    const toggle = () => (isPlaying() ? current().pause() : play());

    function jump(seconds) {
      const [from, to] = range() ?? [0, durationS];
      placeS = Math.min(Math.max(seconds, 0), durationS);
      if (stems.on() && (placeS < from || placeS > to)) placeS = from;
      current()?.jump(placeS - beginS());
      draw();
    }

    function applyGains() {
      current()?.applyGains();
      for (const lane of lanes) lane.style.setProperty("--scale", level(lane.dataset.side));
      gainsText.textContent = gainWords();
    }

    function gainWords() {
      const lowered = WHOLE.filter((name) => matchDb(name) < -0.05);
      const decibels = (name) => fixed(-matchDb(name));
      if (blind) return words.blind;
      if (stems.on()) return stems.words(side, matchBox.checked);
      if (isAlone(side)) {
        const raised = Number(of[side].raisedDb);
        return words.alone(raised ? words.louder(raised) : words.asLoud, of[WHOLE[0]].label);
      }
      if (!lowered.length) return words.equal(WHOLE.length > 2);
      if (!matchBox.checked) return words.real;
      if (lowered.length === 1) return words.lowered(of[lowered[0]].label, decibels(lowered[0]));
      return words.loweredSome(lowered.map((name) => `${of[name].letter} ${decibels(name)} dB`).join(", "));
    }

    function choose(name) {
      if (isAlone(name) && stems.on()) changeStems(stems.clear);
      side = name;
      for (const radio of radios) radio.checked = !blind && radio.value === name;
      for (const lane of lanes) lane.classList.toggle("heard", lane.dataset.side === name);
      applyGains();
      if (!blind) root.dispatchEvent(new CustomEvent("heard", { detail: name }));
    }

    /* Solo and mute play the stems' own sound in the place of the sides, and back. */
    function changeStems(change) {
      const before = stems.on(), again = isPlaying(), at = position(), was = current();
      change();
      if (before === stems.on()) { applyGains(); return; }
      if (again) was.pause();
      if (stems.on() && isAlone(side)) side = WHOLE.at(-1);
      placeS = at;
      choose(side);
      settle();
      if (again) play();
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
      loopButton.textContent = loop ? words.loopOf(clock(startS + loop[0]), clock(startS + loop[1])) : words.loop;
      if (loop) {
        loopBox.style.left = `${(100 * loop[0]) / durationS}%`;
        loopBox.style.width = `${(100 * (loop[1] - loop[0])) / durationS}%`;
      }
      const at = position();
      placeS = loop && (at < loop[0] || at >= loop[1]) ? loop[0] : at;
      settle();
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
      seek.setAttribute("aria-valuetext", words.place(clock(startS + at), clock(startS + durationS)));
    }

    function tick() {
      if (!isPlaying() || gone.signal.aborted) return;
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
      if (part("keys-on")?.checked === false) return;
      const target = event.target;
      const isOfPlayer = root.contains(target);
      const typed = "select, textarea, dialog, input:not([type=radio], [type=checkbox])";
      if (target.closest(typed) && !(isOfPlayer && target === seek)) return;
      const own = target.closest("button, summary, a, input[type=checkbox]") || (target.type === "radio" && !isOfPlayer);
      const letter = event.key.toUpperCase();
      const named = !blind && SIDES.find((name) => of[name].letter === letter);
      if (event.key === " " && !own) toggle();
      else if (event.key === " ") return;
      else if (named) choose(named);
      else if (letter === "L") toggleLoop();
      else if (letter === "M" && !blind) matchBox.click();
      else if (event.key === "ArrowLeft" && target.type !== "radio") jump(position() - 5);
      else if (event.key === "ArrowRight" && target.type !== "radio") jump(position() + 5);
      else return;
      event.preventDefault();
    }

    playButton.addEventListener("click", toggle);
    loopButton.addEventListener("click", toggleLoop);
    matchBox.addEventListener("change", applyGains);
    for (const radio of radios) radio.addEventListener("change", () => choose(radio.value));
    seek.addEventListener("input", () => jump(Number(seek.value)));
    document.addEventListener("keydown", keys, { signal: gone.signal });
    stems.attach(changeStems);
    drags();
    choose(side);
    draw();

    /* Ends all that sounds; the player's elements may then be taken away. */
    function detach() {
      gone.abort();
      if (!deck) return;
      for (const each of [deck, stemDeck]) each?.pause();
      deck.context.close();
    }

    root.state = () => ({
      playing: isPlaying(), side, loop, positionS: position(), durationS,
      gains: current() && current().gains(), lengths: deck && deck.lengths(),
    });
    const solo = (name) => changeStems(() => { stems.clear(); stems.solo(name); });
    return { sides: SIDES, side: () => side, choose, setBlind, setLoop, play, toggle, solo, detach };
  }

  /* The stems of the mix, before and after their strips: which are heard, and how loud. */
  function stemMixer(box) {
    const rows = box ? [...box.querySelectorAll("li")] : [];
    const named = Object.fromEntries(rows.map((row) => [row.dataset.stem, row]));
    const solos = new Set(), mutes = new Set();
    const keys = rows.flatMap(({ dataset: { stem } }) =>
      ["before", "after"].map((version) => `stem-${stem}-${version}`).filter((id) => document.getElementById(id)));

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

    async function sounds(decode) {
      const buffers = await Promise.all(keys.map(decode));
      return Object.fromEntries(keys.map((key, k) => [key, wholeSound(buffers[k])]));
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
      on, gain, words, clear, sounds, attach,
      solo: (name) => flip(solos, name),
      span: box ? [Number(box.dataset.from), Number(box.dataset.to)] : [0, 0],
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

  return { attach, transport, wholeSound, hearRepairs, hearStems, readout, band, bandDb, clock, fixed };
})();
