// Times as people write them, in the language of the browser.

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

const midnight = (date: Date) => new Date(date).setHours(0, 0, 0, 0);
const daysAgo = (at: Date) => Math.round((midnight(new Date()) - midnight(at)) / 86_400_000);

export const timeOf = (at: string | number) => clock.format(new Date(at));
export const sameDay = (one: string, other: string) => midnight(new Date(one)) === midnight(new Date(other));
export const shortTime = (at: string) => (daysAgo(new Date(at)) === 0 ? timeOf(at) : shortDay.format(new Date(at)));

/** Today, yesterday, or the date. */
export function dayOf(at: string) {
  const ago = daysAgo(new Date(at));
  const words = ago < 2 ? relative.format(-ago, 'day') : day.format(new Date(at));
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function since(at: string) {
  const minutes = Math.round((Date.now() - Date.parse(at)) / 60_000);
  if (minutes < 60) return relative.format(-minutes, 'minute');
  return minutes < 48 * 60 ? relative.format(-Math.round(minutes / 60), 'hour') : shortDay.format(new Date(at));
}
