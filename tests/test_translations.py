"""The Chinese pages show the same code and tables as the English ones."""

import re

import pytest
from pages import LINK, ROOT, blocks, prose

TRANSLATED = {
    'README.zh-CN.md': 'README.md',
    **{
        f'docs/zh-CN/{page.name}': f'docs/{page.name}'
        for page in sorted(ROOT.glob('docs/zh-CN/*.md'))
    },
}


@pytest.fixture(params=TRANSLATED.items(), ids=lambda pair: pair[0])
def pair(request):
    return tuple((ROOT / name).read_text() for name in request.param)


def test_the_blocks_are_those_of_the_english_page_in_order(pair):
    chinese, english = pair
    assert blocks(chinese) == blocks(english)
    assert len(blocks(chinese)) >= 4


def test_each_section_of_the_english_page_is_there(pair):
    chinese, english = (re.findall(r'^## ', prose(text), re.M) for text in pair)
    # How the README compares with other projects is in English only.
    assert len(chinese) >= len(english) - 1


def test_the_names_in_the_first_column_of_tables_are_the_same():
    """Checked for the table of freezing's arguments."""
    columns = [
        re.findall(r'^\| `(\w+)`', (ROOT / name).read_text(), re.M)
        for name in ('docs/freezing.md', 'docs/zh-CN/freezing.md')
    ]
    assert columns[0] == columns[1] != []


def test_the_migration_table_has_as_many_rows():
    rows = [
        len(re.findall(r'^\| ', (ROOT / name).read_text(), re.M))
        for name in ('docs/migration.md', 'docs/zh-CN/migration.md')
    ]
    assert rows[0] == rows[1] > 30


@pytest.mark.parametrize(('chinese', 'english'), TRANSLATED.items())
def test_each_page_links_to_its_translation(chinese, english):
    for page, other in ((chinese, english), (english, chinese)):
        links = LINK.findall((ROOT / page).read_text())
        folder = (ROOT / page).parent
        assert (ROOT / other) in [(folder / link).resolve() for link in links]


@pytest.mark.parametrize('page', TRANSLATED)
def test_the_terms_are_those_of_the_tutorials(page):
    text = prose((ROOT / page).read_text())
    assert '主干网络' in text
    # One term for one thing.
    assert not re.search('骨干网|预训练模型权重|通道数目|解除冻结', text)
