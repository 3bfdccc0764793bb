// Icons, as the strokes of a 24 by 24 field.

const PATHS = {
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  file: 'M14 3H6v18h12V7zM14 3v4h4',
  leave: 'M14 4h5v16h-5M4 12h11M11 8l4 4-4 4',
  new: 'M12 5v14M5 12h14',
  react: 'M12 21a9 9 0 100-18 9 9 0 000 18zM8.5 14.5c1 1.3 2.1 2 3.5 2s2.5-.7 3.5-2M9 9.5v.5M15 9.5v.5',
  reply: 'M9 7l-5 5 5 5M4 12h9a6 6 0 016 6',
  send: 'M12 20V5M6 11l6-6 6 6',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
};

export const Icon = ({ name }: { name: keyof typeof PATHS }) => (
  <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={PATHS[name]} />
  </svg>
);

export const Logo = () => (
  <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
    <path d="M16 5 27 11v2H5v-2zM7 15h3v8H7zM14.5 15h3v8h-3zM22 15h3v8h-3zM5 25h22v2H5z" />
  </svg>
);
