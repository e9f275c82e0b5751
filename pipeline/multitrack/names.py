"""Tells a stem's role from its file name: words to roles.

A name is cut into words at punctuation, digits and capitals (`01_LeadVox-2 (take 3)` is lead, vox,
take). Phrases go first, then strong words, of which the last one counts (a `bass drum` is a drum, a
`synth bass` a bass), then weak ones, which say where a microphone stood or what an instrument does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["vocals", "drums", "bass", "piano", "guitar", "other", "accompaniment", "residual"]

ROLES: tuple[Role, ...] = ("vocals", "drums", "bass", "piano", "guitar", "other", "accompaniment")
"""The roles with a strip, in the order in which stems are listed; `accompaniment` is all but the vocals."""

RESIDUAL: Role = "residual"
"""The residual of a separator: it belongs to the mix and to no strip."""

LEFT_OUT = "out"
"""The role of tracks outside the mix: a bounce of the others, a click track."""

Kind = Literal[
    "vocals", "drums", "bass", "piano", "guitar", "other", "accompaniment", "residual", "mix", "click"
]

_PHRASES: Mapping[Kind, str] = {
    "vocals": """
        lead voc, lead vox, back voc, back vox, backing voc, backing vox, bg voc, bg vox, b vox, b v, bk vox,
        ad lib, double vox, gang vox, chant solo, voix lead, voz principal, voce principale
    """,
    "drums": """
        bass drum, drum bass, kick sub, sub kick, ride bell, cow bell, big drum, b drum, b d, s d, h h,
        hi hat, high hat, kick bass, room mic, over head, over heads, side stick, rim shot, cross stick,
        floor tom, rack tom, drum kit, drum machine, drum synth, steel drum, grosse caisse, caisse claire,
        charley, charleston, hand clap, finger snap, grosse trommel, kleine trommel, gran cassa,
        bombo legero, bumbo leguero, drum loop, beat box
    """,
    "bass": """
        bass guitar, bass gtr, bass git, guitar bass, bass synth, bass line, bass di, bass amp, sub bass,
        synth bass, upright bass, double bass, string bass, guitare basse, bajo electrico, basso elettrico,
        baixo eletrico, moog bass, basse synth, e bass, bass key, bass keys
    """,
    "piano": """
        e piano, electric piano, el piano, grand piano, upright piano, fender rhodes, e pno
    """,
    "guitar": """
        steel guitar, pedal steel, lap steel, slide guitar, lead gtr, rhythm gtr, rhythm guitar, e git,
        a git, e gtr, a gtr, ac gtr, ac git, el gtr, gtr synth, les paul, power chord, power chords, chitarra
    """,
    "other": """
        vocal synth, vox synth, vox pad, voice pad, vocal pad, choir pad, bass clarinet, bass trombone,
        bass flute, bass sax, english horn, french horn, string section, synth lead, lead synth,
        sound effect, sound effects, sound fx, mouth organ, pipe organ, guitar synth, steel pan, steel pans,
        tubular bells
    """,
    "accompaniment": """
        backing track, backing tracks, minus one, no vocals, no vocal, no vox, without vocals, sans voix,
        sin voz, ohne gesang, senza voce, sem voz, play back, band mix, music only
    """,
    "residual": "rest of",
    "mix": """
        two mix, stereo mix, full mix, final mix, rough mix, ref mix, mix down, two track, mix bus,
        master bus, stereo out, main out, stereo bus, full song, all tracks, print mix
    """,
    "click": "count in, click track",
}

_STRONG: Mapping[Kind, str] = {
    "vocals": """
        vocal vocals vox vocs voc voice voices voce voci voz vozes voces voix voxs sing singer singing sung
        leadvox leadvoc leadvocal leadvocals bv bvs bvox bgv bgvs bgvox bgvocals backvox backvocals choir
        chorale choeur chor coro coros rap rapper speech spoken dialog dialogue narration adlib adlibs lyric
        lyrics soprano alto tenor baritone acapella acappella gesang stimme stimmen chant chants chanteur
        chanteuse canto cantante cantor zang sang vokal vokale wokal wokale spiew glos talkbox vocoder
        vocalist hookvox вокал голос голоса бэк бэки хор пение ボーカル ヴォーカル 歌 声 コーラス 人声 主唱
        和声 보컬 코러스
    """,
    "drums": """
        drum drums drm drms drumkit drumset drumloop kit kick kicks kik kck kd bd bassdrum kickdrum kickin
        kickout kickins kickouts snare snares snr sn sd snaretop snarebottom snarebtm hat hats hihat hihats
        hh hho hhc openhat closedhat tom toms tomtom floortom racktom cymbal cymbals cym crash splash china
        ride rides overhead overheads oh ohs ohl ohr perc percs percussion percussions percusion percussao
        percussioni perkussion clap claps snap snaps shaker shakers tamb tambo tambourine tambourin tamburin
        pandereta pandeiro conga congas bongo bongos cowbell djembe cajon timbale timbales tabla guiro
        maraca maracas clave claves woodblock triangle beat beats breakbeat rim rimshot sidestick beatbox
        tr808 tr909 linndrum schlagzeug schlagwerk trommel trommeln becken batterie batteria bateria bombo
        bumbo tambor tambores caja caixa redoblante platillo platillos platos prato pratos charleston
        charley rullante piatti piatto tamburo tamburi slagwerk trommels bekken trummor trommer slagverk
        perkusja bebny werbel stopa talerze rumpali bubny dram барабан барабаны ударные бочка малый тарелки
        перкуссия хэт том ドラム スネア キック ハイハット シンバル パーカッション 鼓 打击乐 军鼓 底鼓 드럼
        퍼커션
    """,
    "bass": """
        bass basses bs bss bas basse basso baixo bajo bassgtr bassguitar bassline subbass sub subs
        contrabass kontrabass contrebasse contrabajo contrabbasso contrabaixo contrabas standbass ebass
        basgitaar bassgitarre elbas basgitara gitarabasowa tb303 reese 808s бас басгитара контрабас ベース
        贝斯 低音 贝司 베이스
    """,
    "piano": """
        piano pianos pianoforte pno pian keys keyboard keyboards keyb kbd kbds kb rhodes rhds wurli
        wurlitzer wurly clavinet clav epiano harpsichord klavier fluegel flugel clavier claviers teclado
        teclados tastiera tastiere toetsen klaver tasten fortepian klawisze cembalo clavecin пианино
        фортепиано рояль клавиши клавишные ピアノ キーボード 钢琴 键盘 琴键 피아노 키보드 건반
    """,
    "guitar": """
        guitar guitars gtr gtrs git gits gt guit guits guitare guitares guitarra guitarras chitarra chitarre
        gitarre gitarren gitaar gitaren gitarr gitar gitara gitary kytara kitara acgtr elgtr eguitar aguitar
        egtr agtr acoustic acoustics akustik akustikgitarre strat strats telecaster tele lespaul dobro banjo
        ukulele uke mandolin mandoline nylon violao strum strums strumming powerchords distorted гитара
        гитары ギター エレキ アコギ 吉他 기타
    """,
    "other": """
        synth synths syn synthe synthes synthesizer sintetizador sintetizzatore sinte synthesiser pad pads
        arpeggiator sequencer string strings str strs strgs violin violins violine violon violino violines
        viola violas cello cellos celli orchestra orch orchestral orchester orquesta orkest streicher cordes
        cuerdas archi cordas strijkers brass blech cuivres metales ottoni metais horn horns trumpet trumpets
        tpt trompete trompette trompeta tromba trombone trombones tbn posaune sax saxes saxophone saxofon
        saxofone flute flutes floete flote flauta flauto clarinet clarinets klarinette oboe oboes bassoon
        bassoons fagott woodwind woodwinds winds organ organs org orgel orgue organo orgao hammond b3 leslie
        harmonica accordion akkordeon accordeon acordeon fisarmonica harp harfe harpe marimba vibraphone
        vibes xylophone glockenspiel glock celesta kalimba bell bells mallet mallets theremin mellotron
        riser risers sweep sweeps whoosh downlifter uplifter impact impacts sitar bagpipe bagpipes whistle
        fiddle other others misc autre autres andere anderes otros otro altri altro outros синт синтезатор
        струнные скрипка духовые эффекты труба орган シンセ ストリングス バイオリン オルガン 合成器 弦乐
        小提琴 신스 스트링
    """,
    "accompaniment": """
        instrumental instrumentals accompaniment accomp karaoke playback begleitung accompagnement
        acompanamiento acompanhamento accompagnamento minusone минус минусовка カラオケ 伴奏 반주
    """,
    "residual": "residual residue rest residuum",
    "mix": """
        mix mixdown master mastered mastering bounce bounced fullmix roughmix premaster stereomix 2mix
        2track mixage melange mezcla missaggio mixagem mixbus masterbus stereoout mainout сведение микс
        мастер ミックス マスター 混音 母带 믹스 마스터
    """,
    "click": """
        click clicks klick klik clic metronome metronom metronomo clicktrack countin guide timecode smpte
        ltc метроном クリック メトロノーム 节拍器 메트로놈
    """,
}

_WEAK: Mapping[Kind, str] = {
    "vocals": """
        double doubles harm harms harmony harmonies verse chorus hook female male bg bgs
    """,
    "drums": "room rooms top bottom btm trash crush knee beater reso batter groove",
    "bass": "low lows 808",
    "piano": "key",
    "guitar": "electric elec amp cab clean crunch dist chug riff riffs",
    "other": """
        fx fxs sfx efx effect effects effekt effekte effets efectos effetti efeitos atmo atmos ambience
        ambient ambiance amb noise noises texture textures sample samples stab stabs loop loops arp arps
        arpeggio pluck plucks seq sequence melody melodie chords drone foley reverb verb delay echo return
        hit hits
    """,
    "accompaniment": "backing instruments",
}
"""These count only where no other word says more."""

_FILLER = """
    audio track trk take tk stem stems file wav flac l r left right st stereo m mono comp comped edit
    edited dry wet raw print printed final v ver version bpm song the a of and render rendered export
    exported consolidated bip tuned new old copy spleeter demucs htdemucs session project untitled
"""
"""Words that tell nothing of what plays."""

_SIDES = {"l": -1, "left": -1, "links": -1, "gauche": -1, "r": 1, "right": 1, "rechts": 1, "droite": 1}
_LEAST_PART = 5
_ACCENTS = re.compile("[\u0300-\u036f]")


@dataclass(frozen=True)
class Named:
    """The meaning of a name: the kind, and the word that says it."""

    kind: Kind
    word: str


def _folded(text: str) -> str:
    """Lower case, without the accents of European letters."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def words_of(name: str) -> tuple[str, ...]:
    """The words of a file's name without its ending, folded; numbers are dropped but in names of machines."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words: list[str] = []
    for piece in re.findall(r"[^\W_]+", _folded(name)):
        words += [piece] if piece in _KINDS else re.findall(r"[^\W\d_]+", piece)
    return tuple(words)


def _table(rows: Mapping[Kind, str], separator: str | None) -> dict[str, Kind]:
    return {
        _folded(" ".join(word.split())): kind
        for kind, words in rows.items()
        for word in words.split(separator)
    }


_BY_PHRASE = _table(_PHRASES, ",")
_BY_STRONG, _BY_WEAK = _table(_STRONG, None), _table(_WEAK, None)
_FILLERS = frozenset(_FILLER.split())
_KINDS = {**_BY_WEAK, **_BY_STRONG}
_LAST_RESORT: frozenset[Kind] = frozenset({"mix", "click"})
"""Kinds that a word for an instrument overrules: a `guitar mix` is a guitar."""


def named(words: Sequence[str]) -> Named | None:
    """The meaning of the words of one name; None for none."""
    for length in (3, 2):
        for start in range(len(words) - length, -1, -1):
            phrase = " ".join(words[start : start + length])
            if phrase in _BY_PHRASE:
                return Named(_BY_PHRASE[phrase], phrase)
    strong = [found for word in words if (found := _strong(word)) is not None]
    weak = [Named(_BY_WEAK[word], word) for word in words if word in _BY_WEAK]
    instruments = [found for found in strong if found.kind not in _LAST_RESORT]
    return next((group[-1] for group in (instruments, strong, weak) if group), None)


def _strong(word: str) -> Named | None:
    """The kind of a word, whole or as a part of a compound (`Hintergrundgesang`, `エレキギター`)."""
    if word in _BY_STRONG:
        return Named(_BY_STRONG[word], word)
    if not word.isascii():
        parts = [part for part in _BY_STRONG if not part.isascii() and part in word]
    elif word in _BY_WEAK or word in _FILLERS:
        return None
    else:
        parts = [p for p in _BY_STRONG if len(p) >= _LEAST_PART and (word.endswith(p) or word.startswith(p))]
        parts = [part for part in parts if _BY_STRONG[part] not in _LAST_RESORT]
    if not parts:
        return None
    longest = max(parts, key=lambda part: (len(part), word.endswith(part)))
    return Named(_BY_STRONG[longest], word)


def names_of(stems: Sequence[str]) -> list[Named | None]:
    """The meaning of each name of a folder: words that all begin with (the song's title) count last.

    Args:
        stems: names of files without their endings.
    """
    words = [words_of(stem) for stem in stems]
    shared = _shared(words) if len(words) > 1 else 0
    rests = [some[shared:] for some in words]
    said = [any(word not in _FILLERS for word in rest) for rest in rests]
    return [named(rest if tells else some) for rest, tells, some in zip(rests, said, words, strict=True)]


def _shared(names: Sequence[tuple[str, ...]]) -> int:
    """The number of words that all names begin with."""
    return next(
        (k for k, words in enumerate(zip(*names, strict=False)) if len(set(words)) > 1), min(map(len, names))
    )


def sides_of(stems: Sequence[str]) -> dict[int, int]:
    """The sides of stereo pairs among names (`Room.L`, `Room.R`): place in the list to −1 or 1."""
    found: dict[tuple[str, int], list[int]] = {}
    for place, stem in enumerate(stems):
        match = re.fullmatch(r"(.*?[\W_\d]|.*[a-z](?=[LR]$))([^\W\d_]+)[\W_]*", stem)
        side = _SIDES.get(match[2].casefold()) if match else None
        if match and side:
            found.setdefault((match[1].casefold(), side), []).append(place)
    pairs = {
        base for base, _ in found if len(found.get((base, -1), ())) == len(found.get((base, 1), ())) == 1
    }
    return {places[0]: side for (base, side), places in found.items() if base in pairs}
