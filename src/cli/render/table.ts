// Tables as istioctl and kubectl print them: upper-case headings, columns padded by spaces, no lines.

export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + 5)))
      .join("")
      .trimEnd();
  return `${[headings, ...rows].map(line).join("\n")}\n`;
}
