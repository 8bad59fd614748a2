// Writes the help of every command into docs/look-up/commands.md, between its two marks. docs.test.ts says when the page
// is behind.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { registerCommands } from "../src/cli/commands/register.ts";

const page = join(import.meta.dirname, "../docs/look-up/commands.md");
const begin = "<!-- help: written by tools/commands-page.ts -->";
const end = "<!-- end of help -->";

/** The page's text with today's help in it. */
export function commandsPage(text: string = readFileSync(page, "utf8")): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to === -1) throw new Error(`${page} has lost its marks`);
  return `${text.slice(0, from)}${begin}\n\n${helpOfAll()}\n${text.slice(to)}`;
}

function helpOfAll(): string {
  const program = new Command("outrigger").configureOutput({ getOutHelpWidth: () => 100 });
  const context = {
    env: {},
    cwd: "/",
    packageRoot: "/",
    program: "",
    homeDirectory: "/",
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
  };
  registerCommands(program, context, () => {});
  return program.commands.map((command) => helpOf(command, "outrigger")).join("\n");
}

function helpOf(command: Command, parent: string): string {
  const name = `${parent} ${command.name()}`;
  const own = `## ${name}\n\n\`\`\`\n${command.helpInformation().trim()}\n\`\`\`\n`;
  return [own, ...command.commands.map((child) => helpOf(child, name).replace(/^## /, "### "))].join("\n");
}

if (import.meta.main) writeFileSync(page, commandsPage());
