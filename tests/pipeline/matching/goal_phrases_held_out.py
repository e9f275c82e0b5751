"""Sixty goals as people type them, with what an engineer would make of them.

They were written before the vocabulary grew, and are for one look at the end:
nothing may be changed in vocabulary or reader because of what they show.

Each row is the words, and the pieces that an engineer would write down, as
``"scope dimension direction [amount]"``. Scopes are ``mix``, a stem, a section, or
``section.stem``. Directions are ``+``, ``-``, ``keep`` (leave as it is) and ``=`` (a
value). An amount is a number with its unit (``3dB``, ``x2``, ``a_bit``, ``a_lot``).
Where engineers would differ, what each would accept stands between bars. A piece
``?word`` is a word that nobody could know: it must be listed as not understood.
"""

HELD_OUT: list[tuple[str, list[str]]] = [
    # Stems
    ("vocals louder", ["vocals level +"]),
    ("bring the voice forward a touch", ["vocals level + a_bit|vocals presence + a_bit"]),
    ("less drums", ["drums level -"]),
    ("turn the bass up 2 dB", ["bass level + 2dB"]),
    ("guitars too harsh", ["other harsh -"]),
    ("punchier drums", ["drums punch +"]),
    ("brighter vocals but darker drums", ["vocals bright +", "drums bright -"]),
    ("the kick needs more weight", ["drums bass +"]),
    ("drier vocals", ["vocals reverb -"]),
    ("put some reverb on the singer", ["vocals reverb +"]),
    ("leave the vocals alone", ["vocals keep"]),
    ("don't touch the bass", ["bass keep"]),
    ("synths wider", ["other width +"]),
    ("de-ess the vocal", ["vocals sibilance -"]),
    ("tame the cymbals", ["drums air -|drums harsh -|drums bright -"]),
    ("vox -1.5db, drums +1db", ["vocals level - 1.5dB", "drums level + 1dB"]),
    # The mix
    ("warm and full", ["mix warm +", "mix bass +|mix mid +|mix mud +|mix warm +"]),
    ("not so boomy", ["mix bass -|mix mud -|mix boom -"]),
    ("more low end", ["mix bass +"]),
    ("a lot wider", ["mix width + a_lot"]),
    ("twice as punchy", ["mix punch + x2"]),
    ("slightly less compressed", ["mix dynamics + a_bit"]),
    ("more air please", ["mix air +"]),
    ("it sounds muffled, open it up", ["mix bright +|mix air +|mix mud -"]),
    ("cleaner and less muddy", ["mix clarity +|mix mud -", "mix mud -"]),
    ("smooth out the highs", ["mix harsh -|mix bright -"]),
    ("too thin", ["mix bass +|mix warm +|mix mid +"]),
    ("glue it together", ["mix dynamics -|mix glue +"]),
    ("make it more intimate", ["mix reverb -|mix width -|mix intimate +"]),
    ("keep the dynamics", ["mix dynamics keep"]),
    # Targets
    ("-9 LUFS", ["mix loudness =-9LUFS"]),
    ("for spotify, ceiling -1 dBTP", ["mix platform =spotify", "mix ceiling =-1dBTP"]),
    ("master it to -14 lufs for YouTube", ["mix loudness =-14LUFS", "mix platform =youtube"]),
    ("louder by 2 db", ["mix loudness + 2dB"]),
    ("club loud", ["mix platform =club|mix loudness +"]),
    # Sections
    ("quiet intro, huge chorus", ["intro level -", "chorus level +|chorus width +"]),
    ("make the drop hit harder", ["drop punch +|drop level +"]),
    ("louder choruses", ["chorus level +"]),
    ("vocals up 2 dB in the chorus", ["chorus.vocals level + 2dB"]),
    ("darker verses", ["verse bright -"]),
    ("keep the bridge soft", ["bridge level -|bridge level keep|bridge punch -"]),
    ("outro a little quieter", ["outro level - a_bit"]),
    # Genre, mood, era
    ("lofi hip hop vibe", ["mix style =lofi|mix genre =hiphop"]),
    ("sound like a 70s soul record", ["mix era =70s|mix warm +", "mix genre =soul|mix warm +"]),
    (
        "dreamy and spacious",
        ["mix mood =dreamy|mix reverb +|mix width +", "mix reverb +|mix width +"],
    ),
    (
        "aggressive techno master",
        ["mix mood =aggressive|mix punch +", "mix genre =techno"],
    ),
    ("vintage tape sound", ["mix era =tape|mix warm +|mix saturation +"]),
    ("dark, moody r&b", ["mix bright -", "mix mood =moody|mix bright -", "mix genre =rnb"]),
    ("80s synthpop, gated drums", ["mix era =80s", "mix genre =synthpop", "?gated|drums reverb +"]),
    # Negation, conflicts, keeping
    ("not too bright", ["mix bright -|mix bright keep"]),
    ("don't make it louder", ["mix loudness keep"]),
    ("brighter but not harsh", ["mix bright +", "mix harsh -|mix harsh keep"]),
    ("everything louder except the drums", ["mix loudness +", "drums keep|drums level keep"]),
    ("without more bass", ["mix bass keep"]),
    # Spelling
    ("brigther and punchyer", ["mix bright +", "mix punch +"]),
    ("vocal upfront", ["vocals level +|vocals presence +"]),
    ("more colour, less grey", ["mix saturation +", "?grey|mix bright +"]),
    ("warmer mid-range", ["mix warm +|mix mid +"]),
    ("hi-hats down a smidge", ["drums level - a_bit|drums air - a_bit|drums bright - a_bit"]),
    ("less resonnance in the low mids", ["mix mud -"]),
]
