// Finds one file in a tar archive that is in memory (POSIX ustar, with long names of pax and GNU). Nothing is unpacked.

const block = 512;

/** The content of the first regular file with that base name; undefined where there is none. Throws where it is no tar. */
export function fileInTar(archive: Buffer, baseName: string): Buffer | undefined {
  let longName: string | undefined;
  let at = 0;
  while (at + block <= archive.length) {
    const header = archive.subarray(at, at + block);
    // Two blocks of zeros end an archive.
    if (header.every((byte) => byte === 0)) return undefined;
    if (checksum(header) !== octal(header, 148, 8)) throw new Error("it is no tar archive");
    const size = octal(header, 124, 12);
    const content = archive.subarray(at + block, at + block + size);
    if (content.length < size) throw new Error("the tar archive ends early");
    const type = String.fromCharCode(header[156] ?? 0);
    at += block + Math.ceil(size / block) * block;
    if (type === "x") longName = paxPath(content.toString("utf8")) ?? longName;
    else if (type === "L") longName = content.toString("utf8").replace(/\0.*$/s, "");
    else if (type !== "g" && type !== "K") {
      const name = longName ?? text(header, 0, 100);
      longName = undefined;
      const isFile = type === "0" || type === "\0" || type === "7";
      if (isFile && name.split("/").at(-1) === baseName) return content;
    }
  }
  return undefined;
}

function text(header: Buffer, from: number, length: number): string {
  const field = header.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString("utf8");
}

function octal(header: Buffer, from: number, length: number): number {
  const digits = text(header, from, length).trim();
  const value = digits === "" ? 0 : Number.parseInt(digits, 8);
  if (!/^[0-7]*$/.test(digits) || !Number.isSafeInteger(value)) throw new Error("it is no tar archive");
  return value;
}

/** Over the header with spaces in the place of the checksum. */
function checksum(header: Buffer): number {
  let sum = 0;
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  return sum;
}

/** Records are `length key=value\n`. */
function paxPath(records: string): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(records)?.[1];
}
