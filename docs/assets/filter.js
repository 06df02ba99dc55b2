// A field above each long table that shows the rows with all of the words in it.
document.addEventListener('DOMContentLoaded', () => {
  for (const table of document.querySelectorAll('article table')) {
    const rows = [...table.querySelectorAll('tbody tr')];
    if (rows.length < 15) continue;
    const field = document.createElement('input');
    field.type = 'search';
    field.placeholder = 'Show rows with …';
    field.setAttribute('aria-label', field.placeholder);
    field.style.cssText = 'width: 100%; padding: 0.4em; margin-bottom: 0.5em';
    field.addEventListener('input', () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    // The theme moves a table into a box of its own.
    (table.closest('.md-typeset__scrollwrap') ?? table).before(field);
  }
});
