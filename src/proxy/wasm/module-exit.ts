/** Thrown through a module that asked to exit, because nothing may run after that. */
export class ModuleExit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`the module exited with code ${code}`);
    this.code = code;
  }
}
