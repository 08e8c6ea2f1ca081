// Choices that outlive the page, where the browser allows it.

/** What was remembered under `name`. A browser that blocks storage for local files remembers nothing. */
export function remembered(name: string): string | null {
  return storage()?.getItem(`striate.${name}`) ?? null;
}

export function remember(name: string, value: string): void {
  try {
    storage()?.setItem(`striate.${name}`, value);
  } catch (error) {
    // A full storage forgets; what was chosen holds for as long as the page is open.
    if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
  }
}

function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch (error) {
    // Reading the property is what throws where the user has switched storage off.
    if (error instanceof DOMException && error.name === "SecurityError") return undefined;
    throw error;
  }
}
