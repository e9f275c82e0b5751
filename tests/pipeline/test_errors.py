import pickle

from mixagent.pipeline.errors import InputError, UsageError, option


def test_an_option_is_written_as_its_reader_knows_it():
    error = UsageError(f"{option('amount', 0)} leaves nothing for {option('fade_in')} to do", field="amount")
    assert str(error) == "amount=0 leaves nothing for fade_in to do"
    flags = error.sentence(lambda name, value: f"--{name.replace('_', '-')}{f' {value}' if value else ''}")
    assert flags == "--amount 0 leaves nothing for --fade-in to do"
    assert (error.field, error.code, error.exit_code) == ("amount", "usage", 2)


def test_an_error_comes_whole_out_of_another_process():
    error = InputError(f"no {option('song')}", field="song", code="empty")
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.field, copied.code) == ("no song", "song", "empty")
    assert copied.sentence(lambda name, value: f"<{name}>") == "no <song>"
