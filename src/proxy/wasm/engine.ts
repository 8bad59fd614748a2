// The engine's WebAssembly interface, with the types that the compiler's library lacks.
// Specification: https://www.w3.org/TR/wasm-js-api-2/

/** Compiled code, shared by all instances of it. */
export interface EngineModule {
  readonly [moduleBrand]: true;
}
declare const moduleBrand: unique symbol;

export interface EngineMemory {
  /** Another object after the memory has grown. */
  readonly buffer: ArrayBuffer;
}

interface EngineTable {
  set(index: number, value: unknown): void;
}

export type EngineExports = Readonly<Record<string, unknown>>;
export type EngineImports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

interface Engine {
  readonly Module: {
    new (bytes: Uint8Array<ArrayBuffer>): EngineModule;
    imports(module: EngineModule): { readonly module: string; readonly name: string; readonly kind: string }[];
  };
  readonly Instance: new (module: EngineModule, imports: EngineImports) => { readonly exports: EngineExports };
  readonly Memory: abstract new () => EngineMemory;
  readonly Table: abstract new () => EngineTable;
  readonly RuntimeError: new (message: string) => Error;
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<EngineModule>;
}

export const engine: Engine = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;
