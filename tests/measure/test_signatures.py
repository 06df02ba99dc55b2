"""The arguments of a class, also through the keyword arguments of its parents."""

from plugin.measure.signatures import Signature, default_of, signature_of


class Base:
    def __init__(self, a, b=1):
        pass


class Handing(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Fixing(Base):
    def __init__(self, c=2, **kwargs):
        super().__init__(a=c, **kwargs)


class ByPosition(Base):
    def __init__(self, c=2, *args, **kwargs):
        super().__init__(c, *args, **kwargs)


class Skipping(Handing):
    def __init__(self, d=0, **kwargs):
        super(Handing, self).__init__(**kwargs)


class Reading(Base):
    def __init__(self, **kwargs):
        self.z = kwargs.pop('z')
        super().__init__(**kwargs)


class Swallowing:
    def __init__(self, a=1, **kwargs):
        pass


class Bare:
    pass


def test_own_arguments_and_those_without_a_default():
    assert signature_of(Base) == Signature(('a', 'b'), ('a',))


def test_what_is_handed_on_is_taken_by_the_parent():
    assert signature_of(Handing) == Signature(('c', 'a', 'b'), ('c', 'a'))


def test_what_the_parent_is_given_can_not_be_given_again():
    assert signature_of(Fixing) == Signature(('c', 'b'), ())
    assert signature_of(ByPosition) == Signature(('c', 'b'), ())


def test_super_of_a_parent_skips_that_parent():
    assert signature_of(Skipping) == Signature(('d', 'a', 'b'), ('a',))


def test_keyword_arguments_that_are_read_or_swallowed_are_not_judged():
    assert signature_of(Reading) is None
    assert signature_of(Swallowing) is None


def test_a_class_without_a_constructor_is_not_judged():
    assert signature_of(Bare) is None


def test_a_function_takes_its_arguments():
    assert signature_of(lambda x, *, y=1: x) == Signature(('x', 'y'), ('x',))


def test_a_default_may_be_a_parents():
    assert default_of(Handing, 'b') == 1
    assert default_of(Handing, 'a') is None
