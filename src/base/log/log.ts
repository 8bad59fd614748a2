// Line and JSON logger with Istio's scopes and levels that can change while the process runs.
// A logger never throws and never waits; the sink decides where lines go.

export const levels = ["none", "error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof levels)[number];
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

export interface LogSettings {
  readonly level: LogLevel;
  readonly json: boolean;
  readonly write: (line: string) => void;
  readonly now: () => Date;
}

/** Owns the levels of all scopes of one process. */
export class LogRegistry {
  readonly #settings: LogSettings;
  readonly #levelByScope = new Map<string, number>();
  readonly #scopes = new Set<string>();
  #defaultLevel: number;

  constructor(settings: Partial<LogSettings> = {}) {
    this.#settings = {
      level: "info",
      json: false,
      write: (line) => process.stderr.write(line),
      now: () => new Date(),
      ...settings,
    };
    this.#defaultLevel = levels.indexOf(this.#settings.level);
  }

  /** Whether lines are JSON objects. */
  get json(): boolean {
    return this.#settings.json;
  }

  /** Sets the level of one scope, or of all when no scope is named. */
  setLevel(level: LogLevel, scope?: string): void {
    if (scope === undefined) {
      this.#defaultLevel = levels.indexOf(level);
      this.#levelByScope.clear();
    } else {
      this.#levelByScope.set(scope, levels.indexOf(level));
    }
  }

  level(scope: string): LogLevel {
    return levels[this.#levelByScope.get(scope) ?? this.#defaultLevel] ?? "info";
  }

  /** Names of the scopes that were asked for. */
  scopes(): string[] {
    return [...this.#scopes].sort();
  }

  scope(scope: string): Logger {
    this.#scopes.add(scope);
    const emit = (level: number, message: string, fields: LogFields | undefined): void => {
      if (level > (this.#levelByScope.get(scope) ?? this.#defaultLevel)) return;
      this.#settings.write(
        this.#settings.json ? this.#json(level, scope, message, fields) : this.#text(level, scope, message, fields),
      );
    };
    return {
      error: (message, fields) => emit(1, message, fields),
      warn: (message, fields) => emit(2, message, fields),
      info: (message, fields) => emit(3, message, fields),
      debug: (message, fields) => emit(4, message, fields),
    };
  }

  #text(level: number, scope: string, message: string, fields: LogFields | undefined): string {
    let line = `${this.#settings.now().toISOString()}\t${levels[level] ?? ""}\t${scope}\t${message}`;
    if (fields !== undefined) {
      for (const [key, value] of Object.entries(fields)) if (value !== undefined) line += `\t${key}=${value}`;
    }
    return `${line}\n`;
  }

  #json(level: number, scope: string, message: string, fields: LogFields | undefined): string {
    const record = { time: this.#settings.now().toISOString(), level: levels[level], scope, msg: message, ...fields };
    return `${JSON.stringify(record)}\n`;
  }
}

/** A logger that drops everything, for tests and pure code. */
export const silentLogger: Logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
